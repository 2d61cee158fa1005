"""Lists of values as people write them: 1,2,4,...,256 and 1..256 and 0.02:0.5:20.

Items stand between commas. An item is a value; `a..b`, every whole number from a to b, up or down; `a:b:n`, n evenly
spaced values with both ends, or `a:b:n:log`, of one ratio; or an ellipsis, which goes on with the two or three values
before it up to the value after it.

Three values before an ellipsis have one ratio or one difference. Two go on by their difference where that reaches the
end, as in 2,4,...,16, which has 6, and else by their ratio, as in 64,32,...,1: powers of two take three, 1,2,4,...,256.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from fractions import Fraction
from itertools import islice
from typing import Any

from eie_sim.core.errors import InputError, refused, require
from eie_sim.study import spacing
from eie_sim.study.kinds import WHOLE, Kind, decimal

MAX_VALUES = 1_000_000
ELLIPSIS = "..."
ROOM = f"must be at most {MAX_VALUES} values"
COUNTED = "must be as 1..256, whole numbers from and to"
SPACED = "must be as 0.02:0.5:20, 20 values from 0.02 to 0.5, or as 1:256:9:log for one ratio"
CONTINUED = "must have two or three values before ... and the last value after it, as 1,2,4,...,256"
COUNT = re.compile("[0-9]{1,30}")


def values_in(axis: str, kind: Kind, given: Any) -> tuple[Any, ...]:
    """The values that a text, an object, or an iterable of both means, each once, in order.

    Raises InputError naming the axis.
    """
    made: list[Any] = []
    before: list[Any] = []  # up to three values, as they were given, that an ellipsis goes on with
    waiting = False
    for item in _items(axis, kind, given):
        room = MAX_VALUES - len(made)
        if not kind.numeric:
            made.append(kind.value(axis, item))
        elif _is_ellipsis(item):
            require(not waiting and len(before) > 1, axis, _joined(before, ELLIPSIS), CONTINUED)
            waiting = True
        elif waiting:
            made += _continued(axis, kind, before, item, room)
            before, waiting = [item], False
        elif isinstance(item, str) and _is_range(item):
            made += _ranged(axis, kind, item, room)
            before = [made[-1]]
        else:
            made.append(kind.value(axis, item))
            before = [*before, item][-3:]
    require(not waiting, axis, _joined(before, ELLIPSIS), CONTINUED)
    require(len(made) <= MAX_VALUES, axis, "a longer list", ROOM)
    return tuple(dict.fromkeys(made))


def _items(axis: str, kind: Kind, given: Any) -> list[Any]:
    """Texts between commas and objects, one after the other."""
    plain = _of_python(given) if getattr(given, "ndim", None) == 0 else given
    if isinstance(plain, str):
        return _split(axis, plain)
    unordered = isinstance(plain, (bytes, bytearray, memoryview, Mapping, Set))
    require(not unordered, axis, type(plain).__name__, "must be text, a value or a list of them")
    if not isinstance(plain, Iterable):
        return [plain]
    parts = [_of_python(part) for part in islice(plain, MAX_VALUES + 1)]
    require(len(parts) > 0, axis, "[]", "must be at least one value")
    items: list[Any] = []
    for part in parts:
        items += _split(axis, part) if isinstance(part, str) and not kind.verbatim else [part]
        require(len(items) <= MAX_VALUES, axis, "a longer list", ROOM)
    return items


def _of_python(value: Any) -> Any:
    """Numpy's scalars, and rows, as Python's."""
    return value.tolist() if hasattr(value, "tolist") else value


def _split(axis: str, text: str) -> list[str]:
    require(text.count(",") < MAX_VALUES, axis, text, ROOM)
    items = [item.strip() for item in text.split(",")]
    require(items != [""], axis, repr(text), "must be at least one value")
    require(all(items), axis, text, "must have a value on either side of every comma")
    return items


def _is_ellipsis(item: Any) -> bool:
    return item is ... or (isinstance(item, str) and item == ELLIPSIS)


def _is_range(text: str) -> bool:
    return ".." in text or ":" in text


def _ranged(axis: str, kind: Kind, text: str, room: int) -> list[Any]:
    """The values of a..b, a:b:n or a:b:n:log."""
    if ".." in text:
        return _counted(axis, kind, text, room)
    first, last, n, by_ratio = _ends(axis, kind, text)
    require(n >= 2, axis, text, "must ask for 2 values or more")
    require(n <= room, axis, text, ROOM)
    require(not by_ratio or (first > 0 and last > 0), axis, text, "must have both ends above 0 for one ratio")
    assert kind.rounded is not None
    if first == last:
        return [kind.rounded(*first.as_integer_ratio())]
    if by_ratio:
        return _of_one_ratio(axis, kind, text, (first, last, n))
    if kind.whole and (last - first) % (n - 1):
        raise _not_whole(axis, text, spacing.counts_that_are_whole(int(first), int(last), n))
    return [kind.rounded(over, under) for over, under in spacing.evenly(first, last, n)]


def _counted(axis: str, kind: Kind, text: str, room: int) -> list[Any]:
    ends = [end.strip() for end in text.split("..")]
    require(len(ends) == 2 and all(WHOLE.fullmatch(end) for end in ends), axis, text, COUNTED)
    first, last = int(ends[0]), int(ends[1])
    require(abs(last - first) < room, axis, text, ROOM)
    kind.value(axis, ends[0])
    kind.value(axis, ends[1])
    assert kind.rounded is not None
    step = 1 if first <= last else -1
    return [kind.rounded(value, 1) for value in range(first, last + step, step)]


def _ends(axis: str, kind: Kind, text: str) -> tuple[Fraction, Fraction, int, bool]:
    """First, last, how many, and whether by one ratio."""
    first, last, *how = (part.strip() for part in text.split(":"))
    ok = len(how) in (1, 2) and COUNT.fullmatch(how[0]) and how[1:] in ([], ["log"])
    require(bool(ok), axis, text, SPACED)
    return _exact(axis, kind, first), _exact(axis, kind, last), int(how[0]), len(how) > 1


def _of_one_ratio(axis: str, kind: Kind, text: str, ends: tuple[Fraction, Fraction, int]) -> list[Any]:
    assert kind.rounded is not None
    exact = spacing.by_ratio(*ends)
    if exact is not None:
        return [kind.rounded(over, under) for over, under in exact]
    if kind.whole:
        first, last, n = ends
        raise _not_whole(axis, text, spacing.counts_of_whole_ratio(int(first), int(last), n))
    return [kind.take(value) for value in spacing.nearly_by_ratio(*ends)]


def _not_whole(axis: str, text: str, counts: Iterable[int]) -> InputError:
    would = " or ".join(str(count) for count in counts)
    return refused(axis, text, f"must fall on whole numbers; {would} values would")


def _continued(axis: str, kind: Kind, before: Sequence[Any], item: Any, room: int) -> list[Any]:
    """The values after those before an ellipsis, up to the one after it."""
    said = _joined(before, ELLIPSIS, item)
    if isinstance(item, str) and _is_range(item):
        raise refused(axis, said, CONTINUED)
    known, end = [_exact(axis, kind, each) for each in before], _exact(axis, kind, item)
    difference, ratio = spacing.common_steps(known)
    by_ratio = spacing.progression(known[-1], end, ratio, by_ratio=True)
    by_difference = spacing.progression(known[-1], end, difference, by_ratio=False)
    found = by_difference or by_ratio
    if found is None:
        raise refused(axis, said, _not_reached(difference, ratio))
    require(found.n <= room, axis, said, ROOM)
    assert kind.rounded is not None
    return [kind.rounded(over, under) for over, under in found.values()]


def _not_reached(difference: Fraction | None, ratio: Fraction | None) -> str:
    """Why the last value is not among those that an ellipsis stands for."""
    steps = [
        f"the {word} {decimal(step):.40}"
        for word, step, still in (("difference", difference, 0), ("ratio", ratio, 1))
        if step is not None and step != still
    ]
    if not steps:
        return "must have one difference or one ratio, not 0 or 1, between the values before ..."
    return f"must reach the value after ... exactly by {' or '.join(steps)}"


def _exact(axis: str, kind: Kind, given: Any) -> Fraction:
    try:
        return kind.exact(given)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError):
        raise kind.error(axis, given) from None


def _joined(before: Sequence[Any], *after: Any) -> str:
    return ",".join(str(each) for each in (*before, *after))
