"""The help of commands as plain text: on one screen, or with --full every option in its group."""

from __future__ import annotations

import inspect
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import wrap
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from eie_sim.cli.shell import DESIGN, OFTEN, app
from eie_sim.core.docstrings import parameters_of
from eie_sim.core.numbers import counted

if TYPE_CHECKING:
    from cyclopts import App

FLAGS = {"--help", "-h"}
FULL = "--full"
OF_DESIGN = 3
"""Options of a design that the short help shows: its unit, its preset, and fields."""

UNKNOWN_WIDTH, WIDEST, NARROW = 80, 120, 60
"""Columns where nobody says how many, at most, and below which the text of an option stands under its name."""
KINDS = {bool: "", int: "INT", float: "FLOAT", Path: "PATH"}
EXAMPLE = "Example: "
LISTS = "Values of a list have commas between them: 1,64."
TITLES = {"Parameters": "Options"}


def is_asked(words: Sequence[str]) -> bool:
    """True where a command line asks for help, or for nothing."""
    options = words[: words.index("--")] if "--" in words else words
    return not words or not FLAGS.isdisjoint(options)


def show(command: str, names: Iterable[str], unit: str | None, *, full: bool) -> None:
    """Print the help of a command; the list of commands where it is empty.

    names : of all commands, in the order of the list
    unit : the name that --unit gives
    """
    width = min(shutil.get_terminal_size((UNKNOWN_WIDTH, 24)).columns, WIDEST)
    if command:
        lines = _of_command(app[command], command, unit, width, full=full)
    else:
        lines = [*wrap("Usage: eie-sim COMMAND [OPTIONS]", width), "", *wrap(app.help, width)]
        lines += [*wrap("Example: eie-sim run digits-mlp, or with a file of yours eie-sim run model.onnx", width), ""]
        lines += _table([(name, _told(app[name])[0][0]) for name in names], width)
        lines += ["", *wrap("Options of one: eie-sim COMMAND --help. Version: eie-sim --version", width)]
    sys.stdout.write("\n".join(lines) + "\n")


def _of_command(command: App, name: str, unit: str | None, width: int, *, full: bool) -> list[str]:
    arguments: Any = command.assemble_argument_collection(default_parameter=app.default_parameter)
    helps = parameters_of(command.default_command)
    for one in arguments:
        helps |= {} if one.show else parameters_of(one.hint)  # a record, each field of which is an option
    options = [one for one in arguments if one.show]
    group_of = {one.name: one.parameter.group[0] for one in options}
    given = [one for one in options if one.index is not None]
    usage = ["Usage: eie-sim", name, *(one.name if one.required else f"[{one.name}]" for one in given), "[OPTIONS]"]
    paragraphs, examples = _told(command)
    lines = wrap(" ".join(usage), width)
    for text in paragraphs if full else paragraphs[:1]:
        lines += ["", *wrap(text, width)]
    lines.append("")
    for text in examples:
        before = " " * len(EXAMPLE) if lines[-1] else EXAMPLE
        lines += wrap(text, width, initial_indent=before, subsequent_indent="    ", break_on_hyphens=False)
    lines.append("")
    if full:
        own = {group: group.sort_key if isinstance(group.sort_key, int) else 0 for group in group_of.values()}
        for group in sorted(own, key=own.__getitem__):  # those of cyclopts, arguments and options, first
            rows = [_row(one, helps) for one in options if group_of[one.name] == group]
            lines += [*wrap(TITLES.get(group.name, group.name), width), *_table(rows, width), ""]
        return [*lines, *wrap(LISTS, width)]
    of_design = [one for one in options if group_of[one.name] == DESIGN][:OF_DESIGN]
    often = [one for at in OFTEN.get(name, ()) for one in options if one.field_info.name == at]
    shown = [*(one for one in options if one.required and one.index is None), *often, *of_design]
    for part in (given, shown):  # columns of their own
        lines += [*_table([_row(one, helps, short=True) for one in part], width), *([""] if part else [])]
    seen = {one.name for one in (*given, *shown)}
    left = [group for one, group in group_of.items() if one not in seen]
    if not left:
        return lines[:-1]
    asking = " ".join(["eie-sim", name, *([] if unit is None else ["--unit", unit]), "--help", FULL])
    more = f"{counted(len(left), 'option')} more, in {counted(len({*left}), 'group')}: {asking}"
    return [*lines, *wrap(more, width, break_on_hyphens=False)]


def _told(command: App) -> tuple[list[str], list[str]]:
    """Return the paragraphs of a command's docstring, its first sentence apart, and its examples, a line each."""
    parts = inspect.cleandoc(command.help).partition("\n\nParameters\n")[0].split("\n\n")
    texts = [" ".join(part.split()) for part in parts if not part.startswith(EXAMPLE)]
    examples = "\n".join(part.removeprefix(EXAMPLE) for part in parts if part.startswith(EXAMPLE))
    first, dot, rest = texts[0].partition(". ")
    return [f"{first}{dot.strip()}", *([rest] if rest else []), *texts[1:]], examples.splitlines()


def _row(option: Any, helps: dict[str, str], *, short: bool = False) -> tuple[str, str]:
    """Return an option as it is written, and its help: all of it, or the first clause if `short`."""
    kind = option.hint
    if get_origin(kind) in (Union, UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
    many = get_origin(kind) is tuple
    if get_origin(kind) is Literal:
        word = "|".join(get_args(kind))
    else:
        word = KINDS.get(get_args(kind)[0] if many else kind, "TEXT") + (",..." if many else "")
    written = option.name if option.index is not None else f"{', '.join(option.names)} {word}".strip()
    text, default = option.parameter.help or helps.get(option.field_info.name, ""), option.field_info.default
    if short:
        text = f"{text.split('. ')[0].split('; ')[0].rstrip('.')}."
    if option.required or default is None or default is False or default == ():
        return written, text
    return written, f"{text} [{','.join(map(str, default)) if many else default}]"


def _table(rows: Iterable[tuple[str, str]], width: int) -> list[str]:
    """Two columns; the second goes on in the next lines, or stands below the first where there is little room."""
    rows = list(rows)
    longest = max((len(first) for first, _ in rows), default=0)
    beside = width >= NARROW
    column = 4 + (min(longest, width // 3) if beside else 0)
    lines = []
    for first, text in rows:
        fits = beside and len(first) + 4 <= column
        lines += [] if fits else wrap(f"  {first}", width, subsequent_indent="    ")
        lines += wrap(
            text,
            width,
            initial_indent=f"  {first}".ljust(column) if fits else " " * column,
            subsequent_indent=" " * column,
        )
    return lines
