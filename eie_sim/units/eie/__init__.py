"""EIE processing elements (Han et al., ISCA 2016): format, arithmetic, two engines."""
