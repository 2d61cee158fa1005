"""When: the same cycles twice, once stepped and once in closed form.

Both take the weights of each row, int64[n_out], and return classes int64[n_lane, n_class] of one vector.
"""

import numpy as np

from toy.words import ToyClass


def reference(entries, config):
    """Step through the cycles until no lane has work left."""
    work = []
    for lane in range(config.n_lane):
        rows = ([ToyClass.START] * config.start_cycles + [ToyClass.MAC] * n for n in entries[lane :: config.n_lane])
        work.append([step for row in rows for step in row])
    classes = np.zeros((config.n_lane, len(ToyClass)), dtype=np.int64)
    while any(work):
        for lane, steps in enumerate(work):
            classes[lane, steps.pop(0) if steps else ToyClass.WAITING] += 1
    return classes


def fast(entries, config):
    """Add up what each lane has to do; all wait for the longest."""
    lanes = np.arange(len(entries)) % config.n_lane
    macs = np.bincount(lanes, weights=entries, minlength=config.n_lane).astype(np.int64)
    starts = config.start_cycles * np.bincount(lanes, minlength=config.n_lane)
    return np.column_stack([macs, starts, (macs + starts).max() - macs - starts])
