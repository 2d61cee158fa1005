"""Sweeps over designs and networks: the store of finished rows, and its export."""
