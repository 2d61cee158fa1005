"""HTML for notebooks and pages. Templates make it, which escape whatever they are given; Jinja2 is imported late."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from eie_sim.core.numbers import number, percent

if TYPE_CHECKING:
    from jinja2 import Environment


class Cell(NamedTuple):
    """One cell of a table.

    text : as people read it
    value : the same as JSON has it, by which a page sorts: a number, or a list of numbers; None for words
    alarming : whether it is in red
    """

    text: str
    value: Any = None
    alarming: bool = False


def figure(value: float, decimals: int) -> Cell:
    """Return a number as a cell, with so many decimals as `number` shows it."""
    return Cell(number(value, decimals), value)


def share(value: float, decimals: int = 1) -> Cell:
    """Return a share of one as a cell, in percent."""
    return Cell(percent(value, decimals), value)


Row = Sequence[object]
"""Cells, or their text."""


class Table(NamedTuple):
    """A table, as `table` makes it. numbers : columns that have numbers, which are aligned right"""

    title: str
    headings: Sequence[str]
    rows: list[list[Cell]]
    foot: list[Cell]
    numbers: set[int]


def table(headings: Sequence[str], rows: Iterable[Row], *, foot: Row = (), title: str = "") -> Table:
    """Return a table for `card` or a page. A heading may have lines; `foot` is a last row apart, as a total is."""
    body, last = [_cells(row) for row in rows], _cells(foot)
    numbers = {at for row in [*body, last] for at, cell in enumerate(row) if cell.value is not None}
    return Table(title, headings, body, last, numbers)


def card(title: str, *tables: Table, lines: Iterable[str] = (), alarms: Iterable[str] = ()) -> str:
    """Return what a notebook shows of an object: a title, alarms in red, tables, and lines below them."""
    template = templates().get_template("core/card.html.j2")
    return template.render(title=title, tables=tables, lines=lines, alarms=alarms)


@cache
def templates() -> Environment:
    """Return the templates of the package, by their paths in it. A name that a template lacks is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("eie_sim", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.policies["json.dumps_kwargs"] = {"default": _plain}
    return found


def printable(value: Any) -> Any:
    """Return a value whose text prints: line breaks stay; signs that do not print and half characters are written out.

    HTML that a template has made stays as it is.
    """
    text = str(value)
    if text.isprintable() or hasattr(value, "__html__"):
        return value
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)


def _cells(row: Row) -> list[Cell]:
    return [one if isinstance(one, Cell) else Cell(str(one)) for one in row]


def _plain(value: Any) -> Any:
    """Numpy's numbers as Python's, and fractions as floats."""
    return value.item() if hasattr(value, "item") else float(value)
