"""Rows of a sweep kept by column, read as a sequence of dicts: 2,000,000 rows of 70 figures take about a gigabyte."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from operator import index
from typing import Any, NamedTuple, Self, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import is_number, require, require_type

Row = Mapping[str, Any]
Floats = NDArray[np.float64]
Places = NDArray[np.signedinteger[Any]]
Bools = NDArray[np.bool_]

CHUNK = 8192
"""Rows that are dicts at one time."""
FEW = 256
"""Distinct values of a chunk up to which words are codes."""

_decode = msgspec.json.Decoder().decode


class Column(NamedTuple):
    """A value for each of some rows.

    values : int64, float64 or object array with a value for each row; where there are `codes`, each value that occurs
    codes : for each row the place of its value in `values`; all of one value share one code in memory
    """

    values: Any
    codes: NDArray[Any] | None = None

    @classmethod
    def of(cls, values: Sequence[Any]) -> Column:
        """Values of any kind, which come back as they are: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
        array = _numbers(values)
        if array is not None:
            bits = array.view(np.int64)
            return cls(array) if (bits != bits[0]).any() else _coded(values[:1], np.zeros(len(values), np.uint8))
        if set(map(type, values)) in ({str}, {bool}, {type(None)}) and values.count(values[0]) == len(values):
            return _coded(values[:1], np.zeros(len(values), np.uint8))
        places: dict[Any, int] = {}
        codes = np.array([places.setdefault(_identity(value), len(places)) for value in values], np.intp)
        if len(places) > FEW:
            return cls(_objects(values))
        return _coded([values[at] for at in np.unique(codes, return_index=True)[1]], codes)

    def take(self, places: Places) -> Column:
        """The values at some places."""
        if self.codes is None:
            return Column(self.values[places])
        used, codes = np.unique(self.codes[places], return_inverse=True)  # what no row has any more is not asked about
        return _coded([self.values[at] for at in used], codes)

    def listed(self, places: Places) -> list[Any]:
        """The values at some places, as they were given."""
        if self.codes is None:
            return self.values[places].tolist()  # type: ignore[no-any-return]  # of a column
        if len(self.values) == 1:
            return [self.values[0]] * len(places)
        return list(map(self.values.__getitem__, self.codes[places].tolist()))

    def distinct(self) -> tuple[list[Any], NDArray[Any]]:
        """The values that there are, each once, and for each row the place of its own among them."""
        if self.codes is not None:
            return list(self.values), self.codes
        if self.values.dtype == object:
            return _recoded([Column(self.values.tolist(), np.arange(len(self.values)))])
        values, codes = np.unique(self.values, return_inverse=True)
        return values.tolist(), codes

    def where(self, rule: Callable[[Any], bool]) -> Bools:
        """For each row whether its value keeps a rule; of numbers a rule that holds in an interval."""
        if self.codes is not None:
            return np.array([rule(value) for value in self.values], np.bool_)[self.codes]  # type: ignore[no-any-return]
        ends = [] if self.values.dtype == object else [self.values.min().item(), self.values.max().item()]
        if ends and all(map(rule, ends)):
            return np.ones(len(self.values), np.bool_)
        return np.array([rule(value) for value in self.values.tolist()], np.bool_)

    def numbers(self, name: str) -> Floats:
        """float64, NaN for None. Raises InputError, which names the column, for all but finite numbers."""
        found: Floats
        if self.codes is None and self.values.dtype != object:
            found = self.values.astype(np.float64)
            for value in found[~np.isfinite(found)][:1].tolist():
                _finite(name, value)
        else:
            found = np.array([_finite(name, value) for value in self.values])
        return found if self.codes is None else found[self.codes]


class _Group(NamedTuple):
    """Rows that have the same names in the same order. places : their numbers among all rows, ascending"""

    names: tuple[str, ...]
    columns: tuple[Column, ...]
    places: Places


class Rows(Sequence[dict[str, Any]]):
    """Rows that do not change: each is made when it is asked for, equal to the one that was given, in the same order.

    A slice is a list, `take` gives Rows. Questions about many rows at once are asked by column: `numbers`, `distinct`,
    `where` and `groups`.
    """

    def __init__(self, groups: Sequence[_Group]) -> None:
        self._groups = tuple(groups)
        self._group = np.zeros(sum(len(group.places) for group in groups), np.min_scalar_type(len(groups)))
        self._at = np.empty(len(self._group), np.int32)
        for number, group in enumerate(groups):
            self._group[group.places] = number
            self._at[group.places] = np.arange(len(group.places))

    @classmethod
    def of(cls, rows: Iterable[bytes | Row]) -> Self:
        """Rows given as lines of a store, or as dicts, in one pass."""
        given, n = iter(rows), 0
        found: dict[tuple[str, ...], tuple[list[Places], list[tuple[Column, ...]]]] = {}
        while chunk := [_decode(row) if isinstance(row, bytes) else row for row in islice(given, CHUNK)]:
            alike: dict[tuple[str, ...], list[int]] = {}
            for at, row in enumerate(chunk):
                alike.setdefault(tuple(row), []).append(at)
            for names, places in alike.items():
                all_places, all_columns = found.setdefault(names, ([], []))
                all_places.append(n + np.array(places))
                all_columns.append(tuple(map(Column.of, zip(*(chunk[at].values() for at in places), strict=True))))
            n += len(chunk)
        groups = []
        for names, (places_of, columns) in found.items():
            groups.append(_Group(names, tuple(map(_joined, zip(*columns, strict=True))), np.concatenate(places_of)))
            columns.clear()
        return cls(groups)

    def __len__(self) -> int:
        return len(self._group)

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return self.listed(np.arange(*at.indices(len(self))))
        return self.listed(np.array([range(len(self))[index(at)]]))[0]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for start in range(0, len(self), CHUNK):
            yield from self[start : start + CHUNK]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rows | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(own == its for own, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list

    def __repr__(self) -> str:
        return f"Rows({len(self):,})"

    def listed(self, places: Places) -> list[dict[str, Any]]:
        """The rows with these numbers, as dicts."""
        found: list[Any] = [None] * len(places)
        for group, here, at in self._split(places):
            values = zip(*(column.listed(at) for column in group.columns), strict=True)
            for place, row in zip(here.tolist(), values if group.columns else repeat(()), strict=False):
                found[place] = dict(zip(group.names, row, strict=True))
        return found

    def take(self, places: Places) -> Rows:
        """The rows with these numbers, in that order."""
        if len(places) == len(self) and (np.diff(places) == 1).all():
            return self
        return Rows(
            [
                _Group(group.names, tuple(column.take(at) for column in group.columns), here)
                for group, here, at in self._split(places)
            ]
        )

    def _split(self, places: Places) -> Iterator[tuple[_Group, Places, Places]]:
        """Each group that has some of these rows, where they stand in `places`, and where in the group."""
        for number, group in enumerate(self._groups):
            here = np.flatnonzero(self._group[places] == number)
            if len(here):
                yield group, here, self._at[places[here]]

    def names(self) -> tuple[str, ...]:
        """All columns, in the order in which they first come up."""
        firsts = sorted(self._groups, key=lambda group: group.places[0])
        return tuple(dict.fromkeys(name for group in firsts for name in group.names))

    def parts(self, name: str) -> Iterator[tuple[Column, Places]]:
        """A column where rows have it, and the numbers of those rows."""
        for columns, places in self.alike():
            if name in columns:
                yield columns[name], places

    def alike(self) -> Iterator[tuple[dict[str, Column], Places]]:
        """Columns by name of rows that have the same names, and the numbers of those rows."""
        for group in self._groups:
            yield dict(zip(group.names, group.columns, strict=True)), group.places

    def having(self, *names: str) -> Bools:
        """Which rows have all these columns."""
        found = np.zeros(len(self), np.bool_)
        for columns, places in self.alike():
            found[places] = columns.keys() >= set(names)
        return found

    def numbers(self, name: str) -> Floats:
        """A column as float64[n_row], NaN where it is None or missing.

        Raises InputError where a value is no finite number.
        """
        found = np.full(len(self), np.nan)
        for column, places in self.parts(name):
            found[places] = column.numbers(name)
        return found

    def values(self, name: str) -> list[Any]:
        """The values of a column where rows have it, each once among rows that have the same names."""
        return [value for column, _ in self.parts(name) for value in column.distinct()[0]]

    def distinct(self, name: str) -> tuple[list[Any], NDArray[np.int32]]:
        """The values of a column, each once, and for each row the place of its own, -1 where the column is missing."""
        found = np.full(len(self), -1, np.int32)
        parts = list(self.parts(name))
        values, codes = _recoded([Column(*column.distinct()) for column, _ in parts])
        for _, places in parts:
            found[places], codes = np.split(codes, [len(places)])
        return values, found

    def where(self, name: str, rule: Callable[[Any], bool]) -> Bools:
        """For each row whether its value keeps a rule, which is given None where the column is missing."""
        found = np.full(len(self), rule(None))
        for column, places in self.parts(name):
            found[places] = column.where(rule)
        return found

    def groups(self, names: Iterable[str]) -> list[Places]:
        """Numbers of the rows that agree in all these columns; groups and rows in order. Missing is as None."""
        alike = np.zeros(len(self), np.intp)
        for name in names:
            values, codes = self.distinct(name)
            none = next((at for at, value in enumerate(values) if value is None), -1)
            alike = alike * (len(values) + 1) + np.where(codes == none, 0, codes + 1)
            alike = np.unique(alike, return_inverse=True)[1]
        order = np.argsort(alike, kind="stable")
        bounds = np.flatnonzero(np.diff(alike[order])) + 1
        return sorted(np.split(order, bounds), key=lambda group: int(group[0])) if len(self) else []


def as_rows(given: Any, names: Collection[str] | None = None) -> Rows:
    """Rows, or a list of dicts as rows with these columns only. Raises InputError for anything else."""
    if isinstance(given, Rows):
        return given
    require_type("rows", given, list, tuple)
    for at, row in enumerate(given):
        if not isinstance(row, Mapping):  # the message is made only where it is needed: there are many rows
            require_type(f"rows[{at}]", row, dict)
    return Rows.of(given if names is None else ({name: row[name] for name in names if name in row} for row in given))


def _identity(value: Any) -> Any:
    """Return a key that tells a value from others, from equal ones of another type too, and from lists."""
    return value if type(value) is str else (type(value), repr(value))


def _numbers(values: Sequence[Any]) -> NDArray[Any] | None:
    """Numbers of one kind as an array; None for all else, and for whole ones that 64 bits do not hold."""
    kinds = set(map(type, values))
    try:
        return np.array(values, np.float64 if kinds == {float} else np.int64) if kinds in ({int}, {float}) else None
    except OverflowError:
        return None


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    return np.fromiter(values, np.dtype(object), len(values))


def _coded(values: Sequence[Any], codes: NDArray[Any]) -> Column:
    """A column of distinct values, in as little memory as there can be."""
    if len(values) == 1:
        return Column(values, np.broadcast_to(np.zeros(1, np.uint8), len(codes)))
    return Column(values, codes.astype(np.min_scalar_type(len(values)), copy=False))


def _recoded(parts: Sequence[Column]) -> tuple[list[Any], NDArray[Any]]:
    """Columns with codes, one after the other, as codes of the same values."""
    places: dict[Any, int] = {}
    values: dict[int, Any] = {}
    codes: list[NDArray[Any]] = [np.empty(0, np.intp)]
    for part in parts:
        own = [places.setdefault(_identity(value), len(places)) for value in part.values]
        values |= zip(own, part.values, strict=True)
        codes.append(np.array(own, np.int32)[part.codes])
    return [values[at] for at in range(len(values))], np.concatenate(codes[1:] or codes)


def _joined(parts: Sequence[Column]) -> Column:
    """Columns one after the other."""
    if all(part.codes is not None for part in parts):
        return _coded(*_recoded(parts))
    arrays = []
    for values, codes in parts:
        numbers = None if codes is None else _numbers(values)
        arrays.append(values if codes is None else (_objects(values) if numbers is None else numbers)[codes])
    if len({array.dtype for array in arrays}) == 1:
        return Column(np.concatenate(arrays))
    return Column(_objects([value for array in arrays for value in array.tolist()]))


def _finite(name: str, value: Any) -> float:
    if value is None:
        return np.nan
    try:
        number = float(value) if is_number(value) else np.nan
    except OverflowError:  # an integer or a fraction beyond any float
        number = np.inf
    require(-np.inf < number < np.inf, name, value, "must be a finite number")
    return number
