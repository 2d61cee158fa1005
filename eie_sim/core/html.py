"""HTML as text: tables that carry exact values, for notebooks and pages. Whatever is named in them goes in escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """One cell of a table.

    text : as people read it
    value : the same as JSON has it, by which a page sorts: a number, or a list of numbers; None for words
    alarming : whether it is in red
    """

    text: str
    value: Any = None
    alarming: bool = False


Row = Sequence[object]
"""Cells, or their text."""

LONG = 50
"""Characters from which a cell is words, which a style may let wrap."""


def escape(text: object) -> str:
    """Text as it stands in HTML, within quotes too; what does not print, and halves of characters, written out."""
    shown = "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in str(text))
    return html.escape(shown)


def table(headings: Sequence[str], rows: Iterable[Row], *, foot: Row = (), marks: str = "") -> str:
    """A table. Columns of numbers are aligned right; a heading may have lines.

    foot : a last row that is none of the others, as a total is; marks : classes of the table, for a style or script
    """
    body = [[_cell(one) for one in row] for row in rows]
    last = [_cell(one) for one in foot]
    numbers = {at for row in [*body, last] for at, one in enumerate(row) if one.value is not None}
    heads = "".join(
        f"<th scope='col'{_classes(number=at in numbers)}>{_lines(heading)}</th>" for at, heading in enumerate(headings)
    )
    parts = [f"<thead><tr>{heads}</tr></thead>", "<tbody>", *(_row(row, numbers) for row in body), "</tbody>"]
    if last:
        parts.append(f"<tfoot>{_row(last, numbers)}</tfoot>")
    opening = f'<table class="{escape(marks)}">' if marks else "<table>"
    return "\n".join([opening, *parts, "</table>"])


def card(title: str, *tables: str, lines: Iterable[str] = (), alarms: Iterable[str] = ()) -> str:
    """What a notebook shows of an object: a title, tables, and lines below them.

    lines, alarms : text; alarms are in red, right below the title
    """
    parts = [f"<style>{_STYLE}</style>", f"<strong>{escape(title)}</strong>"]
    parts += [f'<p class="alarm">{escape(line)}</p>' for line in alarms]
    parts += [*tables, *(f"<p>{escape(line)}</p>" for line in lines)]
    return '<div class="eie-sim">\n' + "\n".join(parts) + "\n</div>"


def exact(value: Any) -> str:
    """The attribute that carries a value as JSON has it; nothing for None."""
    return "" if value is None else f' data-value="{escape(json.dumps(value, default=_plain))}"'


_STYLE = (
    ".eie-sim table{border-collapse:collapse;margin:.4em 0;color:inherit;font:inherit}"
    ".eie-sim th,.eie-sim td{padding:.15em .8em .15em 0;border:0;text-align:left;vertical-align:top;white-space:nowrap}"
    ".eie-sim th{vertical-align:bottom}"
    ".eie-sim td.words{white-space:normal;min-width:18em}"
    ".eie-sim thead th{border-bottom:1px solid;font-weight:600}"
    ".eie-sim tfoot td{border-top:1px solid;font-weight:600}"
    ".eie-sim .number{text-align:right;font-variant-numeric:tabular-nums}"
    ".eie-sim p{margin:.2em 0;opacity:.8}"
    ".eie-sim .alarm{color:#e0383e;font-weight:600;opacity:1}"
)
"""Colours are the notebook's own, light or dark, but for the red, which both can be read with."""


def _cell(given: object) -> Cell:
    return given if isinstance(given, Cell) else Cell(str(given))


def _row(cells: Sequence[Cell], numbers: set[int]) -> str:
    shown = "".join(
        f"<td{_classes(number=at in numbers, alarm=cell.alarming, words=len(cell.text) > LONG)}{exact(cell.value)}>"
        f"{escape(cell.text)}</td>"
        for at, cell in enumerate(cells)
    )
    return f"<tr>{shown}</tr>"


def _plain(value: Any) -> Any:
    """Numpy's numbers as Python's, and fractions as floats."""
    return value.item() if hasattr(value, "item") else float(value)


def _classes(**given: bool) -> str:
    names = " ".join(name for name, true in given.items() if true)
    return f' class="{names}"' if names else ""


def _lines(heading: str) -> str:
    return escape(heading).replace("\n", "<br>")
