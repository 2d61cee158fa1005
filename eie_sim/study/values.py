"""Values of an axis as people write them: what one can be, and lists such as 1,2,4,...,256 and 1..256 and 0.02:0.5:20.

Items stand between commas. An item is a value; `a..b`, every whole number from a to b, up or down; `a:b:n`, n evenly
spaced values with both ends, or `a:b:n:log`, of one ratio; or an ellipsis, which goes on with the two or three values
before it up to the value after it.

Three values before an ellipsis have one ratio or one difference. Two go on by their difference where that reaches the
end, as in 2,4,...,16, which has 6, and else by their ratio, as in 64,32,...,1: powers of two take three, 1,2,4,...,256.
Numbers are exact, as written, and each value is rounded once; of a ratio that is no fraction it is the nearest float.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import accumulate, islice, pairwise, repeat, takewhile
from operator import floordiv, mul, truediv
from typing import Any

from eie_sim.core.errors import any_of, is_number, refused, require, unknown
from eie_sim.core.nm_pattern import meant, pattern_of
from eie_sim.prune.recipe import PATTERNS

MAX_VALUES = 1_000_000
WHOLE_BELOW = 10**30
DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
WHOLE = re.compile(r"[+-]?[0-9]{1,30}")

ROOM = f"must be at most {MAX_VALUES} values"
COUNTED = "must be as 1..256, whole numbers from and to"
SPACED = "must be as 0.02:0.5:20, 20 values from 0.02 to 0.5, or as 1:256:9:log for one ratio"
CONTINUED = "must have two or three values before ... and the last value after it, as 1,2,4,...,256"
NO_STEP = "must have one difference or one ratio, not 0 or 1, between the values before ..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The kind of one value of an axis."""

    rule: str  # in words, for errors
    read: Callable[[Any], Any]  # a text or object -> the value, a number exact; None, TypeError, ArithmeticError
    show: Callable[[Any], str] = str  # a value as text, for tables
    rounded: Callable[[int, int], Any] | None = None  # numerator, denominator -> nearest; only of numbers
    words: Mapping[str, Any] = field(default_factory=dict)  # what texts mean, in small letters, besides
    choices: tuple[str, ...] = ()  # known words, where there is a list
    verbatim: bool = False  # a text in a list is one value, commas and all

    @property
    def optional(self) -> bool:
        """True where the value may be None."""
        return "none" in self.words

    def value(self, axis: str, given: Any) -> Any:
        """The one value that a text or an object means. Raises InputError naming the axis."""
        word = given.lower() if isinstance(given, str) else "none" if given is None else ""
        if word in self.words:
            return self.words[word]
        found = self.exact(axis, given)
        return found if self.rounded is None else self.rounded(*found.as_integer_ratio())

    def values(self, exact: Iterable[tuple[int, int]]) -> list[Any]:
        """Numbers, as numerator and denominator, each rounded once."""
        assert self.rounded is not None  # only numbers have ranges
        return [self.rounded(over, under) for over, under in exact]

    def exact(self, axis: str, given: Any) -> Any:
        """Return the value that `read` makes. Raises InputError naming the axis."""
        try:
            found = self.read(given)
        except (TypeError, ArithmeticError):
            found = None
        if found is not None:
            return found
        if self.choices and isinstance(given, str):
            raise unknown(axis, given, self.choices)
        recognised = isinstance(given, (str, numbers.Number, tuple, list, type(None)))
        raise refused(axis, given if recognised else type(given).__name__, self.rule)


def values_in(axis: str, kind: Kind, given: Any) -> tuple[Any, ...]:
    """The values that a text, an object, or an iterable of both means, each once, in order.

    Raises InputError naming the axis.
    """
    made: list[Any] = []
    before: list[Any] = []  # up to three values, as they were given, that an ellipsis goes on with
    items = iter(_items(axis, kind, given))
    for item in items:
        text = item if isinstance(item, str) else ""
        if kind.rounded is None:
            made.append(kind.value(axis, item))
        elif item is ... or text == "...":
            end = next(items, "...")
            made += _continued(axis, kind, before, end)
            before = [end]
        elif ".." in text or ":" in text:
            made += _counted(axis, kind, text) if ".." in text else _spaced(axis, kind, text)
            before = [made[-1]]
        else:
            made.append(kind.value(axis, item))
            before = [*before, item][-3:]
        require(len(made) <= MAX_VALUES, axis, "a longer list", ROOM)
    return tuple(dict.fromkeys(made))


def _items(axis: str, kind: Kind, given: Any) -> list[Any]:
    """Texts between commas and objects, one after the other; numpy's scalars and rows as Python's."""
    plain = given.tolist() if getattr(given, "ndim", None) == 0 else given
    unordered = isinstance(plain, (bytes, bytearray, memoryview, Mapping, Set))
    require(not unordered, axis, type(plain).__name__, "must be text, a value or a list of them")
    listed = isinstance(plain, Iterable) and not isinstance(plain, str)
    items: list[Any] = []
    for part in islice(plain, MAX_VALUES + 1) if listed else [plain]:
        item = part.tolist() if hasattr(part, "tolist") else part
        if isinstance(item, str) and not (listed and kind.verbatim):
            require(item.count(",") < MAX_VALUES, axis, item, ROOM)
            texts = [text.strip() for text in item.split(",")]
            require(texts != [""], axis, repr(item), "must be at least one value")
            require(all(texts), axis, item, "must have a value on either side of every comma")
            items += texts
        else:
            items.append(item)
        require(len(items) <= MAX_VALUES, axis, "a longer list", ROOM)
    require(len(items) > 0, axis, "[]", "must be at least one value")
    return items


def _counted(axis: str, kind: Kind, text: str) -> list[Any]:
    """The values of a..b."""
    ends = [end.strip() for end in text.split("..")]
    require(len(ends) == 2 and all(WHOLE.fullmatch(end) for end in ends), axis, text, COUNTED)
    first, last = (int(kind.exact(axis, end)) for end in ends)
    require(abs(last - first) < MAX_VALUES, axis, text, ROOM)
    return kind.values((n, 1) for n in (range(first, last + 1) if first <= last else range(first, last - 1, -1)))


def _spaced(axis: str, kind: Kind, text: str) -> list[Any]:
    """The values of a:b:n or a:b:n:log."""
    start, end, *how = (part.strip() for part in text.split(":"))
    require(bool(how and re.fullmatch("[0-9]{1,30}", how[0])) and how[1:] in ([], ["log"]), axis, text, SPACED)
    first, last, gaps = Fraction(kind.exact(axis, start)), Fraction(kind.exact(axis, end)), int(how[0]) - 1
    require(gaps >= 1, axis, text, "must ask for 2 values or more")
    require(gaps < MAX_VALUES, axis, text, ROOM)
    whole = kind.rounded is floordiv  # which must have nothing to round
    require(not how[1:] or min(first, last) > 0, axis, text, "must have both ends above 0 for one ratio")
    if first == last:
        return kind.values([first.as_integer_ratio()])
    if how[1:]:
        ratio = _root(last / first, gaps)
        if ratio is not None:
            return kind.values(map(Fraction.as_integer_ratio, accumulate(repeat(ratio, gaps), mul, initial=first)))
        if not whole:
            with localcontext(prec=50):  # of which a million products leave far more right than a float holds
                low, high = (Decimal(each.numerator) / each.denominator for each in (first, last))
                between = accumulate(repeat((high / low) ** (1 / Decimal(gaps)), gaps - 1), mul, initial=low)
                nearly = [float(first), *map(float, islice(between, 1, None)), float(last)]
            return [kind.value(axis, each) for each in nearly]
        most = min(gaps, max(first, last).numerator.bit_length())  # a root of more is 1
        fits = [fewer for fewer in range(1, most) if _root(last / first, fewer)]
    else:
        step = (last - first) / gaps
        if not whole or step.denominator == 1:
            return kind.values(_evenly(first, step, range(gaps + 1)))
        span = int(last - first)
        fits = [fewer for fewer in range(1, gaps) if span % fewer == 0]
    raise refused(axis, text, f"must fall on whole numbers; {fits[-1] + 1} values would")


def _evenly(first: Fraction, step: Fraction, places: range) -> Iterator[tuple[int, int]]:
    """Numerator and denominator of `first + at * step`, as they come, for `at` in `places`."""
    (over, under), (rise, run) = first.as_integer_ratio(), step.as_integer_ratio()
    return ((over * run + at * rise * under, under * run) for at in places)


def _root(power: Fraction, degree: int) -> Fraction | None:
    """The fraction above 0 whose power of `degree` is `power`, or None where it has none."""
    parts = power.as_integer_ratio()
    with localcontext(prec=sum(n.bit_length() for n in parts) // 3 + 10):  # more digits than a root has
        roots = [round(Decimal(n) ** (1 / Decimal(degree))) if degree < n.bit_length() else 1 for n in parts]
    root = Fraction(*roots)
    return root if root**degree == power else None


def _continued(axis: str, kind: Kind, before: Sequence[Any], end: Any) -> list[Any]:
    """The values after those before an ellipsis, up to the one after it."""
    said = ",".join(map(str, (*before, "...")))
    one = end is not ... and not (isinstance(end, str) and (".." in end or ":" in end))
    require(one and len(before) > 1, axis, said, CONTINUED)
    *known, last = (Fraction(str(kind.exact(axis, each))) for each in (*before, end))  # 1/10 for 0.1
    start, pairs = known[-1], list(pairwise(known))
    differences = {b - a for a, b in pairs}
    ratios = {b / a for a, b in pairs} if all(a * b > 0 for a, b in pairs) else set()
    difference = differences.pop() if len(differences) == 1 else Fraction(0)
    ratio = ratios.pop() if len(ratios) == 1 else Fraction(1)
    count = (last - start) / difference if difference else Fraction(0)
    if count >= 1 and count.denominator == 1:
        require(count <= MAX_VALUES, axis, f"{said},{end}", ROOM)
        return kind.values(_evenly(start, difference, range(1, int(count) + 1)))
    made: list[Fraction] = []
    if ratio != 1:
        over, under = (last / start).as_integer_ratio()  # neither part of a power shrinks from one to the next
        powers = accumulate(repeat(ratio), mul)
        within = takewhile(lambda power: power.numerator <= over and power.denominator <= under, powers)
        made = [start * power for power in within]
    steps = [f"the difference {decimal(difference):.40}"] if difference else []
    steps += [f"the ratio {decimal(ratio):.40}"] if ratio != 1 else []
    rule = f"must reach the value after ... exactly by {' or '.join(steps)}" if steps else NO_STEP
    require(made[-1:] == [last], axis, f"{said},{end}", rule)
    return kind.values(map(Fraction.as_integer_ratio, made))


def decimal(number: Fraction) -> str:
    """A number as people write it: 0.5, or 20800/31 where no decimals end."""
    ends = number.denominator > 1 and abs(number) < WHOLE_BELOW and Fraction(repr(float(number))) == number
    return repr(float(number)) if ends else str(number)


def word_kind(choices: tuple[str, ...]) -> Kind:
    """One of a list of words."""
    rule = f"must be {any_of(choices)}"
    return Kind(rule=rule, read=lambda given: given if given in choices else None, choices=choices)


def _whole(given: Any, low: int = 1 - WHOLE_BELOW) -> int | None:
    integral = isinstance(given, numbers.Integral) and not isinstance(given, bool)
    plain = WHOLE.fullmatch(given) if isinstance(given, str) else integral
    return int(given) if plain and low <= int(given) < WHOLE_BELOW else None


def _number(given: Any) -> Fraction | float | None:
    """A number that a float can hold: no infinity, and no 1e-400, which would be 0."""
    if not isinstance(given, str):
        return float(given) if is_number(given) and math.isfinite(given) else None
    number = Fraction(given) if len(given) <= 100 and DECIMAL.fullmatch(given) else None
    return number if not number or float(number) else None  # a float too large raises OverflowError by itself


def _rate(given: Any) -> Fraction | None:
    if isinstance(given, str) and re.fullmatch("[+-]?[0-9]{1,30}/[0-9]{1,30}", given):
        return Fraction(given)
    number = _number(given)
    return None if number is None else Fraction(given if isinstance(given, numbers.Rational) else str(number))


def _several(given: Any, sign: str, read: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """One value of several, between signs or in a tuple or list."""
    parts = [part.strip() for part in given.split(sign)] if isinstance(given, str) else given
    found = tuple(map(read, parts)) if isinstance(parts, (tuple, list)) else ()
    return found if found and None not in found else None


def _shape(given: Any, count: int = 2) -> tuple[Any, ...] | None:
    """`count` whole numbers above 0, as 64x64."""
    found = _several(given, "x", lambda side: _whole(side, low=1))
    return found if found and len(found) == count else None


def _n_of_m(given: Any) -> tuple[Any, ...] | None:
    return pattern_of("patterns", given) if isinstance(given, str) else _shape(given)


def _pattern(given: Any) -> str | None:
    n_of_m = isinstance(given, str) and meant(given) and pattern_of("pattern", given)
    return given if n_of_m or given in PATTERNS else None


NAMES = Kind(
    rule="must be a name, not empty", read=lambda given: (isinstance(given, str) and given) or None, verbatim=True
)
FRAMES = Kind(
    rule="must be the index of a frame, from 0, or all or each",
    read=lambda given: _whole(given, low=0),
    rounded=floordiv,
    words={"all": "all", "each": "each"},
)
KIND_OF_TYPE = {
    frozenset({str}): NAMES,
    frozenset({int}): Kind(rule="must be a whole number, of at most 30 digits", read=_whole, rounded=floordiv),
    frozenset({float}): Kind(
        rule="must be a finite number that a float can hold", read=_number, show="{:.6g}".format, rounded=truediv
    ),
    frozenset({int, float, str, Fraction}): Kind(
        rule="must be bytes per cycle as a number or a fraction such as 936000/1395",
        read=_rate,
        show=lambda value: decimal(Fraction(value)),
        rounded=Fraction,
    ),
    frozenset({bool}): Kind(
        rule="must be yes or no, or true or false",
        read=lambda given: given if isinstance(given, bool) else None,
        show=lambda value: "yes" if value else "no",
        words={"yes": True, "true": True, "no": False, "false": False},
    ),
}
KIND_OF_NAME = {
    "pattern": replace(word_kind(PATTERNS), read=_pattern, choices=(*PATTERNS, "2:4")),
    "mma": Kind(
        rule="must be a shape such as 16x8x16, or in Python (16, 8, 16) within a list of values",
        read=lambda given: _shape(given, 3),
        show=lambda value: "x".join(map(str, value)),
    ),
    "tiles": Kind(
        rule="must be tiles as 64x64 or 256x128+128x256, or in Python ((256, 128), (128, 256)) in a list of values",
        read=lambda given: _several(given, "+", _shape),
        show=lambda value: "+".join("x".join(map(str, part)) for part in value),
    ),
    "patterns": Kind(
        rule="must be N:M such as 2:4 or 2:4+1:4, dense for none, or in Python ((2, 4), (1, 4)) in a list of values",
        read=lambda given: () if given in ("dense", (), []) else _several(given, "+", _n_of_m),
        show=lambda value: "+".join(":".join(map(str, part)) for part in value) or "dense",
    ),
}
