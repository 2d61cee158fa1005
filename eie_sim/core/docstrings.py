"""Descriptions of parameters in docstrings: the help of options and axes."""

from __future__ import annotations

import inspect
import re
from typing import Any


def parameters_of(documented: Any) -> dict[str, str]:
    """The text of each name in the section Parameters of a docstring, on one line."""
    said = inspect.cleandoc(documented.__doc__ or "").partition("Parameters\n----------\n")[2]
    return {name: " ".join(text.split()) for name, text in re.findall(r"^(\w+)\n((?: .*\n?|\n)*)", said, re.MULTILINE)}
