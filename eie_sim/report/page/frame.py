"""The frame of a report: one template makes summary, tables and figures an HTML document that loads nothing."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import eie_sim
from eie_sim.core.html import Table, templates
from eie_sim.report.page.pictures import Picture

MARK = '<meta name="generator" content="eie-sim'
"""Mark near the beginning of a report, by which files that are none are left alone."""


class Fact(NamedTuple):
    """One entry of the summary; `state` is "alarm", "good" or neither."""

    name: str
    text: str
    value: Any = None
    state: str = ""


class Part(NamedTuple):
    """A heading, and what is below it, in this order."""

    title: str
    lines: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()


class Page(NamedTuple):
    """A report: its HTML, and what is said of it."""

    html: str
    pictures: Sequence[Picture]  # all that are in it
    about: dict[str, Any]  # what it is of, for a program
    verified: bool | None  # False where an output differs from the golden product, None where that was not asked for


def document(
    name: str, kind: str, about: Iterable[str], alarms: Iterable[str], facts: Iterable[Fact], parts: Iterable[Part]
) -> str:
    """Return a whole HTML document. name, kind : of what is shown; about, alarms : lines below its name"""
    script, style = (files(__package__).joinpath(own).read_text(encoding="utf-8") for own in ("script.js", "style.css"))
    return (
        templates()
        .get_template("report/page/page.html.j2")
        .render(
            version=eie_sim.__version__,
            digest=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            script=script,
            style=style,
            name=name,
            title=f"{name}: {kind}",
            about=about,
            alarms=alarms,
            facts=facts,
            parts=parts,
        )
    )
