"""A timeline to read, for teaching: every cycle of a small array, what is sent, queued, multiplied and added."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from eie_sim.core.fixed import accumulator_range, half_and_shift, product, saturating_add
from eie_sim.units.eie.cycles import Control, blockers, control_cycles, pe_cycles
from eie_sim.units.eie.words import EieClass

if TYPE_CHECKING:
    from eie_sim.units.eie.activity import Activity

QUEUE_SHOWN = 4
"""Most items of a queue that are named; of more, their number is told."""

OUTPUTS_SHOWN = 64
PER_LINE = 4
DECIMALS = 4
WORD_BITS = 16


class Issue(NamedTuple):
    """An entry that a PE issues: when, which of the item's, its code and gap, the output's row, the raw input."""

    cycle: int
    place: int
    code: int
    gap: int
    row: int
    value: int


class Added(NamedTuple):
    """One entry in raw numbers: the weight, the product at the accumulator's scale, and the sum after it."""

    weight: int
    addend: int
    total: int


def words(activity: Activity) -> tuple[str, str]:
    """The design, and what the central control unit spent its time on."""
    config, waits = activity.result.config, activity.result.extra["broadcast"]
    return (
        f"{config.n_pe} PE{'s' if config.n_pe > 1 else ''} at {config.clock_mhz:g} MHz, queue depth "
        f"{config.queue_depth}",
        f"broadcasts {waits['sent']}, cycles blocked {waits['blocked_cycles']}, cycles lost {waits['lost_cycles']}",
    )


def legend(activity: Activity) -> list[str]:
    """Return lines that say how to read a block."""
    return [
        f"output i belongs to PE i % {activity.n_pe}; a PE issues one entry a cycle: y[row] += weight x input",
        "queue: columns that wait, oldest first; one in (brackets) is taken in this cycle, its place free in the next",
    ]


def blocks(activity: Activity, first: int, last: int) -> Iterator[list[str]]:
    """The lines of each of the cycles first..last: the control unit, then every PE, until the pipeline drains."""
    heads = _control_lines(activity, first, last)
    elements = [_pe_lines(activity, pe, first, last) for pe in range(activity.n_pe)]
    for cycle, head, *lines in zip(range(first, last + 1), heads, *elements, strict=True):
        yield [head] if cycle > activity.last_issue else [head, *lines]


def outputs(activity: Activity) -> list[str]:
    """The sums at the end, in real values."""
    result = activity.result
    bits, digits = result.scales["accumulator"], len(str(activity.matrix.n_out - 1))
    cells = [
        f"y[{row:>{digits}}] = {_real(raw, bits)}" for row, raw in enumerate(result.output[:OUTPUTS_SHOWN].tolist())
    ]
    more = len(result.output) - len(cells)
    return [
        "outputs, before ReLU",
        *("  " + "   ".join(cells[at : at + PER_LINE]) for at in range(0, len(cells), PER_LINE)),
        *([f"  and {more} more"] if more else []),
    ]


def _control_lines(activity: Activity, first: int, last: int) -> Iterator[str]:
    found = control_cycles(activity, first, last)
    digits = len(str(last))
    for cycle, does, item in zip(range(first, last + 1), found.does.tolist(), found.item.tolist(), strict=True):
        doing = _control(activity, cycle, does, item)
        left = f"the pipeline drains, {activity.cycles - cycle} to go"
        if cycle > activity.last_issue:
            doing = left if does == Control.IS_DONE else f"{doing}; {left}"
        yield f"cycle {cycle:>{digits}}  {doing}"


def _control(activity: Activity, cycle: int, does: int, item: int) -> str:
    """Say what the central control unit does in a cycle."""
    if does == Control.STARTS:
        return "the scan for active inputs begins"
    if does == Control.LOSES:
        return "lost: the scan goes on to the next row of inputs"
    if does == Control.IS_DONE:
        return "all inputs are broadcast"
    column = _column(activity, item).strip()
    if does == Control.SENDS:
        value = _real(int(activity.values[item]), activity.matrix.scales.activation or 0)
        return f"broadcasts {column}, input {value.lstrip()}"
    full = blockers(activity, item, cycle).tolist()
    return f"blocked: {column} waits, full queue of PE {', '.join(map(str, full))}"


def _pe_lines(activity: Activity, pe: int, first: int, last: int) -> Iterator[str]:
    """A line for each cycle. Entries before the first are added up too, so that the sums are right."""
    issues, adder = _issues(activity, pe), Adder(activity)
    issue = next(issues, None)
    while issue is not None and issue.cycle < first:
        adder.add(issue)
        issue = next(issues, None)
    name = f"PE {pe}".ljust(len(f"PE {activity.n_pe - 1}"))
    width = _queue_width(activity)
    found = pe_cycles(activity, pe, first, last)
    for kind, item, _, oldest, queued in zip(*(each.tolist() for each in found), strict=True):
        if kind in (EieClass.WEIGHT, EieClass.PADDING):
            assert issue is not None
            place = f"entry {issue.place + 1} of {activity.entries[item, pe]}"
            doing = f"{_column(activity, item)}  {place}  {adder.words(issue)}"
            issue = next(issues, None)
        elif kind == EieClass.EMPTY:
            doing = f"{_column(activity, item)}  no entry"
        else:
            doing = "waits: its queue is empty" if kind == EieClass.WAITING else "drains"
        yield f"  {name}  queue {_queue(activity, oldest, queued, item):<{width}}  {doing}"


def _issues(activity: Activity, pe: int) -> Iterator[Issue]:
    """All entries of a PE, in the order in which it issues them."""
    codes, gaps, begins = activity.matrix.codes, activity.matrix.gaps, activity.first_entry(pe)
    for item, begin in enumerate(begins.tolist()):
        taken_at, value, local = int(activity.taken_at[item, pe]), int(activity.values[item]), -1
        for place in range(int(activity.entries[item, pe])):
            code, gap = int(codes[begin + place]), int(gaps[begin + place])
            local += gap + 1
            yield Issue(taken_at + place, place, code, gap, local * activity.n_pe + pe, value)


class Adder:
    """The accumulators of a PE, raw, and what is added to them in words."""

    def __init__(self, activity: Activity) -> None:
        config = activity.result.config
        self.scales = activity.matrix.scales
        self.codebook = activity.matrix.codebook_raw.tolist()
        self.half, self.shift = half_and_shift(config.rounding, self.scales.shift)
        self.accumulator_bits = config.accumulator_bits
        self.sums: defaultdict[int, int] = defaultdict(int)
        self._digits = len(str(len(self.codebook) - 1)), len(str(activity.matrix.n_out - 1))

    def add(self, issue: Issue) -> Added | None:
        """Accumulate an entry; None for padding, which writes nothing."""
        if issue.code == 0:
            return None
        weight = self.codebook[issue.code]
        addend = int(product(weight, issue.value, self.half, self.shift))
        total = int(saturating_add(self.sums[issue.row], addend, *accumulator_range(self.accumulator_bits)))
        self.sums[issue.row] = total
        return Added(weight, addend, total)

    def words(self, issue: Issue) -> str:
        """Accumulate an entry, and say so."""
        added = self.add(issue)
        code, row = f"code {issue.code:>{self._digits[0]}}", f"y[{issue.row:>{self._digits[1]}}]"
        if added is None:
            return f"{code}  padding: steps over {issue.gap + 1} rows of zeros"
        bits = self.scales
        assert bits.weight is not None and bits.activation is not None and bits.accumulator is not None
        factors = f"{_real(added.weight, bits.weight)} x {_real(issue.value, bits.activation)}"
        addend, total = (_real(raw, bits.accumulator, self.accumulator_bits) for raw in (added.addend, added.total))
        return f"{code}  {row} += {factors} = {addend}, now {total}"


def _column(activity: Activity, item: int) -> str:
    """The column of an item, as wide as any."""
    column, width = int(activity.columns[item]), len(f"column {activity.matrix.n_in - 1}")
    return ("bias" if column == activity.matrix.n_in else f"column {column}").ljust(width)


def _queue(activity: Activity, oldest: int, queued: int, taken: int) -> str:
    """The columns in a queue, oldest first."""
    items = range(oldest, oldest + min(queued, QUEUE_SHOWN))
    columns = activity.columns[items.start : items.stop].tolist()
    names = ["bias" if column == activity.matrix.n_in else str(column) for column in columns]
    shown = [f"({name})" if item == taken else name for item, name in zip(items, names, strict=True)]
    more = queued - len(shown)
    return " ".join([*shown, *([f"+{more}"] if more else [])]) or "-"


def _queue_width(activity: Activity) -> int:
    """Return the width of the longest queue: one column is taken, and beyond QUEUE_SHOWN the rest is counted."""
    named, widest = min(activity.queue_depth, QUEUE_SHOWN), len(str(max(activity.matrix.n_in - 1, 0)))
    rest = activity.queue_depth - named
    return named * (widest + 1) + 1 + (len(f"+{rest}") if rest else 0)


def _real(raw: int, fractional_bits: int, word_bits: int = WORD_BITS) -> str:
    """The value of a raw word, as wide as any word of its scale."""
    decimals = max(DECIMALS, fractional_bits // 3 - 1)  # of scales beyond 15 bits, about their unit
    width = len(f"{-(2.0 ** (word_bits - 1 - fractional_bits)):.{decimals}f}")
    return f"{raw / 2.0**fractional_bits:>{width}.{decimals}f}"
