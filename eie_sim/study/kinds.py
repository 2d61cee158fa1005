"""What one value of an axis can be: how it is read from text, taken from Python, and shown."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

from eie_sim.core.errors import InputError, any_of, is_number, refused, unknown
from eie_sim.core.nm_pattern import meant, pattern_of

WHOLE_BELOW = 10**30
MOST_CHARACTERS = 100
"""Of a number as text; none that a design or a recipe takes is longer."""

DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
QUOTIENT = re.compile(r"[+-]?[0-9]{1,30}/[0-9]{1,30}")
FLAGS = {"yes": True, "true": True, "no": False, "false": False}
TOGETHER, EACH = "all", "each"
NONE = "none"
DENSE = "dense"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of value.

    Parameters
    ----------
    rule
        What a value must be, in words, for errors.
    read
        The value that a text means; raises ValueError.
    take
        The value that a Python object means; raises ValueError, TypeError or OverflowError.
    show
        A value as text, for tables.
    rounded
        The value nearest a numerator and denominator, of kinds that have ranges; None for the others.
    whole
        Whether a range must fall on whole numbers.
    choices
        Known words, where there is a list.
    optional
        Whether there may be no value, None.
    verbatim
        Whether a text in a list is one value, commas and all.
    """

    rule: str
    read: Callable[[str], Any]
    take: Callable[[Any], Any]
    show: Callable[[Any], str] = str
    rounded: Callable[[int, int], Any] | None = None
    whole: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False
    verbatim: bool = False

    @property
    def numeric(self) -> bool:
        """Whether values are numbers along a line, of which there are ranges."""
        return self.rounded is not None

    def value(self, axis: str, given: Any) -> Any:
        """The one value that a text or an object means. Raises InputError naming the axis."""
        if self.optional and (given is None or (isinstance(given, str) and given == NONE)):
            return None
        try:
            return self.read(given) if isinstance(given, str) else self.take(given)
        except InputError:
            raise
        except (ValueError, TypeError, OverflowError, ZeroDivisionError):
            raise self.error(axis, given) from None

    def error(self, axis: str, given: Any) -> InputError:
        """What is wrong with a text or an object."""
        if self.choices and isinstance(given, str):
            return unknown(axis, given, self.choices)
        return refused(axis, _said(given), f"{self.rule}, or none" if self.optional else self.rule)

    def exact(self, given: Any) -> Fraction:
        """A number as it was written, as 1/10 for 0.1; for kinds with ranges. Raises what `read` and `take` raise."""
        if isinstance(given, str):
            self.read(given)
            return Fraction(given)
        value = self.take(given)
        if not is_number(value):  # None, or a frame's word
            raise ValueError
        return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def decimal(number: Fraction) -> str:
    """A number as people write it: 0.5, or 20800/31 where no decimals end."""
    if number.denominator > 1 and abs(number) < WHOLE_BELOW and Fraction(repr(float(number))) == number:
        return repr(float(number))
    return str(number)


def name_kind() -> Kind:
    """Any word."""
    return Kind(rule="must be a name, not empty", read=_name, take=_none_taken, verbatim=True)


def word_kind(choices: tuple[str, ...]) -> Kind:
    """One of a list of words."""
    return Kind(rule=f"must be {any_of(choices)}", read=_chosen(choices), take=_none_taken, choices=choices)


def pattern_kind(choices: tuple[str, ...]) -> Kind:
    """The word of a pattern, or N:M."""
    words = _chosen(choices)

    def read(text: str) -> str:
        return "{}:{}".format(*pattern_of("pattern", text)) if meant(text) else words(text)

    return replace(word_kind(choices), read=read, choices=(*choices, "2:4"))


def optional(kind: Kind) -> Kind:
    """The same kind where there may also be no value."""
    return replace(kind, optional=True, show=lambda value: NONE if value is None else kind.show(value))


def _said(given: Any) -> Any:
    """A value that people recognise; the type of anything else."""
    shown = (str, numbers.Number, tuple, list, type(None))
    return given if isinstance(given, shown) else type(given).__name__


def _none_taken(value: Any) -> Any:
    raise TypeError


def _name(text: str) -> str:
    if not text:
        raise ValueError
    return str(text)


def _chosen(choices: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        return choices[choices.index(text)]

    return read


def _read_whole(text: str) -> int:
    if not WHOLE.fullmatch(text):
        raise ValueError
    return int(text)


def _take_whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError
    if abs(int(value)) >= WHOLE_BELOW:
        raise OverflowError
    return int(value)


def _read_exact(text: str) -> Fraction:
    """A decimal that a float can hold: no infinity, and no 1e-400, which would be 0."""
    if len(text) > MOST_CHARACTERS or not DECIMAL.fullmatch(text):
        raise ValueError
    number = Fraction(text)
    if number and not float(number):  # a float too large raises OverflowError by itself
        raise ValueError
    return number


def _take_number(value: Any) -> float:
    if not is_number(value):
        raise TypeError
    if not math.isfinite(value):
        raise ValueError
    return float(value) + 0.0  # -0.0 is 0


def _read_rate(text: str) -> Fraction:
    return Fraction(text) if QUOTIENT.fullmatch(text) else _read_exact(text)


def _take_rate(value: Any) -> Fraction:
    number = _take_number(value)
    return Fraction(value) if isinstance(value, numbers.Rational) else Fraction(repr(number))


def _read_flag(text: str) -> bool:
    if text.lower() not in FLAGS:
        raise ValueError
    return FLAGS[text.lower()]


def _take_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _read_frame(text: str) -> int | str:
    return text if text in (TOGETHER, EACH) else _take_frame(_read_whole(text))


def _take_frame(value: Any) -> int:
    index = _take_whole(value)
    if index < 0:
        raise ValueError
    return index


def _times(text: str, form: re.Pattern[str], sign: str) -> str:
    """Numbers between signs, without leading zeros."""
    if not form.fullmatch(text):
        raise ValueError
    return sign.join(str(int(part)) for part in text.split(sign))


Reader = Callable[[str], Any]
Taker = Callable[[Any], Any]


def _sides(count: int, sign: str) -> tuple[Reader, Taker]:
    """Reads and takes `count` whole numbers above 0, between signs or in a tuple."""
    form = re.compile(sign.join(["[0-9]{1,9}"] * count))

    def read(text: str) -> tuple[int, ...]:
        return take([int(part) for part in _times(text, form, sign).split(sign)])

    def take(value: Any) -> tuple[int, ...]:
        if not isinstance(value, (tuple, list)) or len(value) != count or min(map(_take_whole, value)) < 1:
            raise ValueError
        return tuple(map(_take_whole, value))

    return read, take


def _set_kind(read_one: Reader, take_one: Taker, sign: str, rule: str, *, of_none: str | None = None) -> Kind:
    """A set of shapes as one value, as 64x64+32x32; `of_none` is the word for an empty one."""

    def read(text: str) -> tuple[Any, ...]:
        return () if text == of_none else tuple(read_one(part.strip()) for part in text.split("+"))

    def take(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (tuple, list)) or (not value and of_none is None):
            raise TypeError
        return tuple(take_one(part) for part in value)

    def show(value: Any) -> str:
        return "+".join(sign.join(map(str, part)) for part in value) or str(of_none)

    return Kind(rule=rule, read=read, take=take, show=show)


def _shape_kind(count: int, sign: str, rule: str) -> Kind:
    read, take = _sides(count, sign)
    return Kind(rule=rule, read=read, take=take, show=lambda value: sign.join(map(str, value)))


def _quotient(over: int, under: int) -> float:
    return over / under


WHOLES = Kind(
    rule="must be a whole number, of at most 30 digits",
    read=_read_whole,
    take=_take_whole,
    rounded=lambda over, under: over // under,
    whole=True,
)
NUMBERS = Kind(
    rule="must be a finite number that a float can hold",
    read=lambda text: float(_read_exact(text)),
    take=_take_number,
    show=lambda value: f"{value:.6g}",
    rounded=_quotient,
)
RATES = Kind(
    rule="must be bytes per cycle as a number or a fraction such as 936000/1395",
    read=_read_rate,
    take=_take_rate,
    show=lambda value: decimal(Fraction(value)),
    rounded=Fraction,
)
SWITCHES = Kind(
    rule="must be yes or no, or true or false",
    read=_read_flag,
    take=_take_flag,
    show=lambda value: "yes" if value else "no",
)
FRAMES = Kind(
    rule="must be the index of a frame, from 0, or all or each",
    read=_read_frame,
    take=_take_frame,
    rounded=lambda over, under: over // under,
    whole=True,
)
MMA = _shape_kind(3, "x", "must be a shape such as 16x8x16, or in Python (16, 8, 16) within a list of values")
TILES = _set_kind(
    *_sides(2, "x"),
    "x",
    "must be tiles such as 64x64 or 256x128+128x256, or in Python ((256, 128), (128, 256)) in a list of values",
)
PATTERN_SETS = _set_kind(
    partial(pattern_of, "patterns"),
    _sides(2, ":")[1],
    ":",
    "must be N:M such as 2:4 or 2:4+1:4, dense for none, or in Python ((2, 4), (1, 4)) in a list of values",
    of_none=DENSE,
)
