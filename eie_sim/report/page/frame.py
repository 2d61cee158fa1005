"""The frame of a report: headings, summary, tables and figures as one HTML document that loads nothing."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import eie_sim
from eie_sim.core.html import Row, escape, exact, table
from eie_sim.report.page.pictures import Picture

TALL = 20
"""Rows from which a table scrolls within itself."""

MARK = '<meta name="generator" content="eie-sim'
"""What a report has near its beginning, so that no other file is taken for one."""


class Fact(NamedTuple):
    """One entry of the summary; `state` is "alarm", "good" or neither."""

    name: str
    text: str
    value: Any = None
    state: str = ""


class Page(NamedTuple):
    """A report: its HTML, and what is said of it."""

    html: str
    pictures: Sequence[Picture]  # all that are in it
    about: dict[str, Any]  # what it is of, for a program
    verified: bool | None  # False where an output differs from the golden product, None where that was not asked for


def document(title: str, body: Iterable[str]) -> str:
    """A whole HTML document. Its policy forbids whatever is not in it: no network, no script but its own."""
    script, style = _own("script.js"), _own("style.css")
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'{MARK} {escape(eie_sim.__version__)}">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            *body,
            f"<script>{script}</script>",
            "</body>",
            "</html>\n",
        ]
    )


def section(name: str, *parts: str) -> str:
    """A heading of the second level and what belongs to it."""
    return "\n".join([f"<section>\n<h2>{escape(name)}</h2>", *parts, "</section>"])


def paragraphs(lines: Iterable[str], kind: str = "") -> str:
    """Lines of text, one paragraph each; kind : alarm, good or quiet"""
    opening = f'<p class="{kind}">' if kind else "<p>"
    return "\n".join(f"{opening}{escape(line)}</p>" for line in lines)


def summary(facts: Iterable[Fact]) -> str:
    """What is to be known first, as tiles."""
    tiles = []
    for fact in facts:
        state = f' class="{fact.state}"' if fact.state else ""
        tiles.append(f"<div><dt>{escape(fact.name)}</dt><dd{state}{exact(fact.value)}>{escape(fact.text)}</dd></div>")
    return "\n".join(['<dl class="summary">', *tiles, "</dl>"])


def titled(title: str, headings: Sequence[str], rows: Sequence[Row], *, foot: Row = ()) -> str:
    """A sortable table below its title."""
    shown = table(headings, rows, foot=foot, marks="sortable")
    kind = "scroll tall" if len(rows) >= TALL else "scroll"
    heading = f"<h3>{escape(title)}</h3>\n" if title else ""
    return f'{heading}<div class="{kind}">\n{shown}\n</div>'


def figures(shown: Iterable[Picture]) -> str:
    """Pictures beside each other."""
    parts = [
        f"<figure>\n{picture.svg().strip()}\n<figcaption>{escape(picture.caption)}</figcaption>\n</figure>"
        for picture in shown
    ]
    return "\n".join(['<div class="figures">', *parts, "</div>"]) if parts else ""


def _own(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
