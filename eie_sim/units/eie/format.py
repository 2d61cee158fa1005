"""How many bits EIE's encoding of a layer takes, exact and by part (Han et al. 2016, section III)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eie_sim.core.errors import InputError, require_int
from eie_sim.core.storage import Format
from eie_sim.formats import CODEBOOK_VALUE_BITS, encoding_of, format_of
from eie_sim.units.eie.config import EieConfig

if TYPE_CHECKING:
    from eie_sim.units.eie.counts import EieCounts
    from eie_sim.units.eie.matrix import EieMatrix


def encoded(matrix: EieMatrix | EieCounts, *, pointer_bits: int = 16) -> Format:
    """EIE's own encoding of a matrix, bits by part, with the dense bits at 16 bits a value, the bias in both.

    A padding entry counts whole, code and gap, as `padding`; `index` is the gaps of the weight entries.
    Raises InputError for anything but an EieMatrix, or the counts of one.
    """
    require_int("pointer_bits", pointer_bits, 1, 31)
    from eie_sim.units.eie.counts import EieCounts
    from eie_sim.units.eie.matrix import EieMatrix  # with the encoder's compiler

    if not isinstance(matrix, (EieCounts, EieMatrix)):
        raise InputError(f"matrix={type(matrix).__name__}: must be an EieMatrix")
    return format_of(encoding_of(matrix, int(pointer_bits)), matrix.n_out * matrix.n_column * CODEBOOK_VALUE_BITS)


def bits(matrix: EieMatrix, config: EieConfig) -> int:
    """Bits of a layer, with the design's pointers."""
    return encoded(matrix, pointer_bits=config.pointer_bits).total_bits
