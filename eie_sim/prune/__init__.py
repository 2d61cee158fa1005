"""What to remove from a network: arrays in, arrays out.

A score is an array, a pattern turns scores into a mask, a schedule turns a step into a density:

    from eie_sim.prune import locally, pattern, schedule, score

    scores = score.l1(w)                                        # (out, in); or of gradients, activations, a BatchNorm
    pattern.element().prune(scores, 0.1).mask                   # True where a weight is kept
    pattern.nm(2, 4).prune(scores).mask                         # 2 of every 4 along the inputs are kept
    pattern.balanced(config).prune(scores, 0.1)                 # as many weights for every PE of a design
    locally({"fc1": scores, "fc2": others}, 0.1).achieved       # or globally, with one threshold
    schedule.cubic(0.1, steps=5).densities                      # what to prune to, step by step

Counts are exact and order is (score, index), stable: of equal scores the lower index is pruned first.
"""

from eie_sim.prune import counts, normalise, pattern, schedule, score
from eie_sim.prune.counts import keep_count, prune_count
from eie_sim.prune.kinds import Grouped, Pattern, Quota
from eie_sim.prune.layout import Layout
from eie_sim.prune.pattern import check_nm, is_nm
from eie_sim.prune.result import PruneResult, Selection
from eie_sim.prune.schedule import Schedule
from eie_sim.prune.select import globally, locally, magnitude

__all__ = [
    "Grouped",
    "Layout",
    "Pattern",
    "PruneResult",
    "Quota",
    "Schedule",
    "Selection",
    "check_nm",
    "counts",
    "globally",
    "is_nm",
    "keep_count",
    "locally",
    "magnitude",
    "normalise",
    "pattern",
    "prune_count",
    "schedule",
    "score",
]
