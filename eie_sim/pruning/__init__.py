"""Pruning applied to networks: by a recipe, for a budget, and what accuracy and cycles become of it.

`eie_sim.prune` says what to remove from arrays; here networks, designs and the simulator as a cost model come in.
"""

from eie_sim.pruning.budget import Choice, allocate_network, scan_network
from eie_sim.pruning.measure import QUALITIES, default_quality
from eie_sim.pruning.network import prune_network, unpruned
from eie_sim.pruning.smaller import without_dead
from eie_sim.pruning.table import table_of
from eie_sim.recipe import Recipe

__all__ = [
    "QUALITIES",
    "Choice",
    "Recipe",
    "allocate_network",
    "default_quality",
    "prune_network",
    "scan_network",
    "table_of",
    "unpruned",
    "without_dead",
]
