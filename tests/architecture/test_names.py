"""The house asks the unit and names none: no name, title or type of one stands outside its folder.

`python tests/architecture/test_names.py` prints KNOWN as it is now.
"""

import re
import sys
from pathlib import Path
from pprint import pformat

import pytest

import eie_sim
from eie_sim.units import UNITS, unit_named

PACKAGE = Path(eie_sim.__file__).parent
OUTSIDE = ("units/", "__init__.py", "models/", "traces/")
"""Where units may be named: their folders and registry, the public names, data."""

# Mentions that are left, by file. These numbers only shrink, and a file without any is taken out.
KNOWN = {
    "cli/checking.py": 1,
    "cli/simulate.py": 1,
}

OTHER_WORDS = re.compile(
    r"eie[-_]sim|eie-paper|\.eie\.safetensors"  # this package; a network and a file that it has
    r"|[\d}] ?nm\b|\bnode_nm\b|\bREFERENCE_NM\b"  # nanometres
    r"|\bnm_pattern\b|\bpattern\.nm\b|N:M(?=[^.;]{0,30}(?:2:4|pattern|format|kept|has its own|fixes its own))",
    re.DOTALL,
)
PATTERNS = ("prune/", "core/nm_pattern.py", "formats.py", "recipe.py")
"""Where nm and N:M are the pattern of pruned weights, N kept of each M, which is no unit."""


def words_of(units):
    """A pattern of all that names one of the units: its name also as a part of an identifier, its types, its title."""
    found = []
    for unit in units:
        types = unit.config.__name__, unit.matrix.rpartition(":")[2]
        found += [rf"(?<![a-zA-Z]){unit.name}(?![a-zA-Z])", rf"\b{unit.name.capitalize()}(?=[A-Z])"]
        found += [rf"\b{name}\b" for name in types if not name.startswith(unit.name.capitalize())]
        found += [re.escape(unit.title)] if unit.title.casefold() != unit.name else [rf"\b{unit.title}\b"]
    return re.compile("|".join(found))


WORDS = words_of([unit_named(name) for name in UNITS])


def mentions(text, *, of_patterns=False):
    """What names a unit in a source: in identifiers, strings, docstrings and comments."""
    found = WORDS.findall(OTHER_WORDS.sub(" ", text))
    return [word for word in found if word not in ("nm", "N:M")] if of_patterns else found


def found_now():
    counts = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(OUTSIDE):
            counts[name] = len(mentions(path.read_text(), of_patterns=name.startswith(PATTERNS)))
    return {name: count for name, count in counts.items() if count}


def test_units_are_named_only_where_they_live():
    found = found_now()
    more = {name: count for name, count in found.items() if count > KNOWN.get(name, 0)}
    assert more == {}, "ask the unit in place of naming it"
    fewer = {name: found.get(name, 0) for name, count in KNOWN.items() if found.get(name, 0) < count}
    assert fewer == {}, "fewer than stated: lower the numbers of KNOWN"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("from eie_sim.units.nm.config import TensorCoreConfig", 2),
        ("eie_times(EieConfig(n_pe=4), EieClass)", 3),
        ('"""Of EIE, and of the N:M unit."""  # nm-64', 3),
        ("if unit == 'eie':", 1),
        ("from eie_sim.core import nm_pattern; config.node_nm", 0),
        ('f"{node} nm, 45 nm; eie-sim run eie-paper, N:M as 2:4"; pattern.nm(2, 4)', 0),
        ("movie, pieeie, nmap", 0),
    ],
)
def test_a_mention_is_found_and_other_words_are_none(text, count):
    assert len(mentions(text)) == count


if __name__ == "__main__":
    sys.stdout.write(pformat(found_now()) + "\n")
