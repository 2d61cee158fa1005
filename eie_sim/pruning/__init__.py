"""Pruning applied to networks: by a recipe, for a budget, and what accuracy and cycles become of it.

`eie_sim.prune` says what to remove from arrays; here networks, designs and the simulator as a cost model come in.
"""

from eie_sim.pruning.budget import Choice, allocate_network, scan_network
from eie_sim.pruning.equal_cost import AtCost, at_equal_cost
from eie_sim.pruning.measure import QUALITIES, costed_on, default_quality, measured_on, training
from eie_sim.pruning.network import prune_network, unpruned
from eie_sim.pruning.shared import with_trained_codebooks
from eie_sim.pruning.smaller import without_dead
from eie_sim.pruning.table import table_of
from eie_sim.recipe import Recipe

__all__ = [
    "QUALITIES",
    "AtCost",
    "Choice",
    "Recipe",
    "allocate_network",
    "at_equal_cost",
    "costed_on",
    "default_quality",
    "measured_on",
    "prune_network",
    "scan_network",
    "table_of",
    "training",
    "unpruned",
    "with_trained_codebooks",
    "without_dead",
]
