"""A third opinion on the N:M unit: every core of every wave stepped cycle by cycle with plain state, in no hurry."""

from collections import Counter, deque
from fractions import Fraction
from math import ceil, lcm

PARTS = ("tensor", "smem", "l2", "store", "dram")


class Job:
    """An amount worked off a cycle at a time; what is left of the last cycle is lost."""

    def __init__(self, amount, rate):
        common = lcm(Fraction(amount).denominator, Fraction(rate).denominator)
        self.left, self.per_cycle = int(amount * common), int(rate * common)

    def ends_in_this_cycle(self):
        self.left -= self.per_cycle
        return self.left <= 0


def slots(length, pattern):
    """The stored values of `length` inputs, one by one: (first input of the group, slot)."""
    return [(group, slot) for group in range(0, length, pattern[1]) for slot in range(pattern[0])]


def bits_per_position(pattern):
    if pattern[0] == pattern[1]:
        return 0
    bits = 1
    while 2**bits < pattern[1]:
        bits += 1
    return bits


def demands(pattern, tile, config):
    """What a step and a tile ask for, by walking instructions and warps."""
    (bm, bn), (mm, mn, mk), size = tile, config.mma, config.elem_bytes
    row = slots(config.bk, pattern)
    row_bits = sum(bits_per_position(pattern) for _ in row)
    held = 0
    for _ in range(0, bm, mm):
        for _ in range(0, bn, mn):
            for _ in range(0, len(row), mk):
                held += -(-mm * mn * mk // config.macs_per_cycle)
    read, read_metadata = Fraction(0), Fraction(0)
    for top in range(0, bm, config.wm):
        rows = range(top, min(top + config.wm, bm))
        for left in range(0, bn, config.wn):
            columns = range(left, min(left + config.wn, bn))
            metadata = Fraction(sum(row_bits for _ in rows), 8)
            read += len(rows) * len(row) * size + metadata + config.bk * len(columns) * size
            read_metadata += metadata
    copy_metadata = -(-bm * row_bits // 8)
    return {
        "held": held,
        "read": read,
        "read_metadata": read_metadata,
        "copy": bm * len(row) * size + copy_metadata + config.bk * bn * size,
        "copy_metadata": copy_metadata,
        "macs": sum(bn for _ in range(bm) for _ in row),
        "store": bm * bn * config.out_bytes,
    }


class CoreWithTile:
    def __init__(self, n_step, demand, config, busy, counts):
        self.demand, self.config, self.busy, self.counts = demand, config, busy, counts
        self.to_copy = self.to_compute = n_step
        self.free_buffers = config.stages
        self.usable_from = deque()
        self.jobs = {}
        self.computing = self.stored = False
        self.sums_complete_at = None

    def start(self, now):
        """Whatever may start in cycle `now`."""
        demand, config, counts = self.demand, self.config, self.counts
        if "l2" not in self.jobs and self.to_copy and self.free_buffers:
            self.to_copy -= 1
            self.free_buffers -= 1
            self.jobs["l2"] = Job(demand["copy"], config.l2_bytes_per_cycle)
            counts["l2_bytes"] += demand["copy"]
            counts["l2_metadata_bytes"] += demand["copy_metadata"]
        if not self.computing and self.usable_from and self.usable_from[0] <= now:
            self.usable_from.popleft()
            self.computing = True
            self.jobs["smem"] = Job(demand["read"], config.smem_bytes_per_cycle)
            self.jobs["tensor"] = Job(demand["held"], config.tc_per_core)
            counts["smem_bytes"] += demand["read"]
            counts["smem_metadata_bytes"] += demand["read_metadata"]
            counts["macs"] += demand["macs"]
        if self.sums_complete_at is not None and self.sums_complete_at <= now and "store" not in self.jobs:
            self.jobs["store"] = Job(demand["store"], config.store_bytes_per_cycle)
            counts["store_bytes"] += demand["store"]

    def work(self, now):
        """Cycle `now` passes."""
        ended = []
        for part, job in self.jobs.items():
            self.busy[part] += 1
            if job.ends_in_this_cycle():
                ended.append(part)
        for part in ended:
            del self.jobs[part]
        if "l2" in ended:
            self.usable_from.append(now + 1 + self.config.l2_latency)
        if self.computing and "smem" not in self.jobs and "tensor" not in self.jobs:
            self.computing = False
            self.free_buffers += 1
            self.to_compute -= 1
            if self.to_compute == 0:
                self.sums_complete_at = now + 1 + self.config.mma_latency
        self.stored = "store" in ended


class Kept:
    """What stays in L2: when each object that is held was touched last, and its bytes."""

    def __init__(self, most):
        self.most, self.now, self.touched, self.bytes = most, 0, {}, {}

    def has(self, name, size):
        """Whether the object is held when it is touched; afterwards it is, if it is not too large."""
        self.now += 1
        before = name in self.touched
        if size <= self.most:
            self.touched[name], self.bytes[name] = self.now, size
        while sum(self.bytes[each] for each in self.touched) > self.most:
            del self.touched[min(self.touched, key=self.touched.get)]
        return before


def bytes_of_waves(waves, shapes, pattern, config, a_held=False):
    """(all, metadata) that DRAM moves in each wave of (product, rows, columns), value by value of the real products."""
    size, kept, found = config.elem_bytes, Kept(config.l2_bytes), []
    for wave in waves:
        read, outputs = {}, 0
        for at, rows, columns in wave:
            k = shapes[at][1]
            positions = Fraction(len(rows) * len(slots(k, pattern)) * bits_per_position(pattern), 8)
            of_a = len(rows) * len(slots(k, pattern)) * size + positions
            of_b = k * len(columns) * size
            for name, all_bytes, metadata in ((("A", at, rows), of_a, positions), (("B", at, columns), of_b, 0)):
                if not kept.has(name, all_bytes) and not (a_held and name[0] == "A"):
                    read[name] = all_bytes, metadata
            outputs += sum(config.out_bytes for _ in rows for _ in columns)
        found.append((outputs + sum(b for b, _ in read.values()), sum(metadata for _, metadata in read.values())))
    return found


def waves_of(shapes, tile, n_core):
    """Tiles as (product, rows, columns), product after product, and down its block rows first, in waves."""
    bm, bn = tile
    tiles = [
        (at, range(top, min(top + bm, m)), range(left, min(left + bn, n)))
        for at, (m, _, n) in enumerate(shapes)
        for left in range(0, n, bn)
        for top in range(0, m, bm)
    ]
    return [tiles[first : first + n_core] for first in range(0, len(tiles), n_core)]


def simulate(shapes, pattern, tile, config):
    """Returns cycles, busy by part, counts by name."""
    demand = demands(pattern, tile, config)
    busy, of_others = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)
    counts = Counter()
    now = config.launch
    waves = waves_of(shapes, tile, config.n_core)
    for wave, (moved, metadata) in zip(waves, bytes_of_waves(waves, shapes, pattern, config), strict=True):
        n_step = [len(range(0, shapes[at][1], config.bk)) for at, *_ in wave]
        cores = [CoreWithTile(n, demand, config, of_others if at else busy, counts) for at, n in enumerate(n_step)]
        counts["dram_bytes"] += moved
        counts["dram_metadata_bytes"] += metadata
        dram = None if config.dram_bytes_per_cycle is None else Job(moved, config.dram_bytes_per_cycle)
        start = now
        while cores or dram:
            for core in cores:
                core.start(now - start)
            for core in cores:
                core.work(now - start)
            cores = [core for core in cores if not core.stored]
            if dram:
                busy["dram"] += 1
                if dram.ends_in_this_cycle():
                    dram = None
            now += 1
    counts["operand_selects"] = counts["macs"] if pattern[0] < pattern[1] else 0
    totals = {name: ceil(count) for name, count in counts.items()}
    n_tile = sum(map(len, waves))
    return now, busy, {**totals, "tiles": n_tile, "waves": len(waves), "idle_cores": config.n_core - len(waves[-1])}
