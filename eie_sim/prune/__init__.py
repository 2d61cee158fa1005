"""What to remove from a network: arrays in, arrays out."""

from eie_sim.prune.element import PruneResult, keep_count, magnitude

__all__ = ["PruneResult", "keep_count", "magnitude"]
