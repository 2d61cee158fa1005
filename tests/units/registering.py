"""The toy as an installed package: its entry points in a folder that is on the path, for this process and others."""

import importlib
import os
import sys
import tomllib
from pathlib import Path

from eie_sim import units

HERE = Path(__file__).parent


def entry_points():
    """Name and place of each unit in the toy's pyproject.toml."""
    return tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["entry-points"][units.GROUP]


def install(folder, points=None, package="toy"):
    """Write what installing a package with these entry points leaves in `folder`; those of the toy where left out."""
    installed = folder / f"{package}-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {place}" for name, place in (points or entry_points()).items()]
    (installed / "entry_points.txt").write_text("\n".join([f"[{units.GROUP}]", *lines]) + "\n")


def path_with(*folders):
    """PYTHONPATH of a process that finds packages in `folders`, and the toy's modules."""
    return os.pathsep.join([*map(str, folders), str(HERE), *filter(None, sys.path)])


def forget():
    """Look for units anew."""
    importlib.invalidate_caches()
    for cached in (units._offers, units._of_type, units.units, units.unit_named):
        cached.cache_clear()
