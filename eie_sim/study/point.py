"""One point of a sweep, and the key that names its row: a hash of everything that determines the result."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any, NamedTuple

from eie_sim.recipe import Recipe
from eie_sim.units import unit_of

KEY_BYTES = 16


class Refused(NamedTuple):
    """A combination of values that is no design, or no recipe: the unit, values by axis, and the rule they break."""

    unit: str
    values: tuple[tuple[str, Any], ...]
    message: str


class Point(NamedTuple):
    """What is run.

    key : 32 hex digits
    layer : one layer, or None for all of them
    vector : one input vector, or None for all of them
    recipe : how it is pruned, or None for the weights as they are
    design : of any unit, or a Refused
    """

    key: str
    layer: str | None
    vector: int | None
    recipe: Recipe | None
    design: Any


def unit_name(design: Any) -> str:
    """The name of the unit of a design, or of a Refused."""
    return design.unit if isinstance(design, Refused) else unit_of(design).name


def key_of(study: bytes, layer: str | None, vector: int | None, recipe: Recipe | None, design: Any) -> str:
    """The key of a point. study : digest of the version, the workload and what is asked of every point."""
    digest = hashlib.blake2b(study, digest_size=KEY_BYTES)
    digest.update(_of_weights(layer, recipe))
    digest.update(_of_design(design))
    digest.update(b"all" if vector is None else str(vector).encode())
    return digest.hexdigest()


def digest_of(value: Any) -> bytes:
    """32 bytes that identify plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()


@lru_cache(maxsize=2**16)
def _of_weights(layer: str | None, recipe: Recipe | None) -> bytes:
    return digest_of([layer, None if recipe is None else recipe.to_dict()])


@lru_cache(maxsize=2**16)
def _of_design(design: Any) -> bytes:
    if isinstance(design, Refused):
        return digest_of([*design])
    return digest_of([type(design).__name__, design.to_dict()])
