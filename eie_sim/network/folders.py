"""The folders in which the package keeps its data."""

from __future__ import annotations

from pathlib import Path

from eie_sim.core.errors import InputError


def data_folder(name: str) -> Path:
    """The folder `models` or `traces`: inside the package where it is installed, beside it in a checkout.

    Raises InputError where there is neither.
    """
    package = Path(__file__).resolve().parents[1]
    for parent in (package, package.parent):
        if (parent / name).is_dir():
            return parent / name
    raise InputError(f"{name}: the package's data folder is missing, install the package again")
