"""Products of a node as the one launch that they are, and what stays of those that have no weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from msgspec import structs

from eie_sim.core.sparse import all_zero, block_diagonal
from eie_sim.core.storage import Format
from eie_sim.core.verification import together
from eie_sim.energy import EnergyTable, account
from eie_sim.network.products import Step
from eie_sim.product_run import positions_of
from eie_sim.runs import LayerRun
from eie_sim.units import unit_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Launched:
    """Compressed matrices of products that run at once."""

    matrices: tuple[Any, ...]
    n_out: int
    n_in: int

    @property
    def n_weight(self) -> int:
        """Weights that are kept."""
        return sum(matrix.n_weight for matrix in self.matrices)

    @property
    def density(self) -> float:
        """Density of the matrix that has all of them on its diagonal."""
        return self.n_weight / (self.n_out * self.n_in)


def launched(step: Step, runs: list[LayerRun], squares: Sequence[float], table: EnergyTable) -> LayerRun:
    """All products of a step, none of which depends on another, as the one launch that they are.

    The layer has their weights on its diagonal. runs : of each alone; squares : sums of those of their float outputs
    """
    first, config = runs[0], runs[0].result.config
    launch = unit_of(config).launch
    assert launch is not None
    biases = [one.layer.bias for one in runs if one.layer.bias is not None]
    shape = sum(one.layer.n_out for one in runs), sum(one.layer.n_in for one in runs)
    layer = replace(
        first.layer,
        name=step.node.name,
        weights=all_zero(shape) if step.weighs else block_diagonal([one.layer.weights for one in runs]),
        bias=np.concatenate(biases) if biases else None,
    )
    matrices = tuple(one.matrix for one in runs)
    result = launch([(one.matrix, one.result) for one in runs], config, engine=first.result.engine)
    gathered = sum(product.gathered(one.n_vector) for product, one in zip(step.products, runs, strict=True))
    return replace(
        first,
        layer=layer,
        matrix=Launched(matrices=matrices, n_out=layer.n_out, n_in=layer.n_in),
        result=result,
        energy=account(result, table, gathered=gathered),
        storage=Format(
            name=first.storage.name,
            parts={part: sum(one.storage.parts[part] for one in runs) for part in first.storage.parts},
            dense_bits=sum(one.storage.dense_bits for one in runs),
            note=first.storage.note,
        ),
        verification=together([one.verification for one in runs], squares),
        n_weight=sum(one.n_weight or 0 for one in runs),
        samples=tuple(sample for one in runs for sample in one.samples),
        gathered=gathered,
        positions=positions_of([(one.result, one.layer.n_in) for one in runs]),
    )


def without_weights(run: LayerRun) -> LayerRun:
    """Return a run of two multiplied activations without stored weights: both sides are inputs."""
    layer, checked = run.layer, run.verification
    return replace(
        run,
        samples=tuple(sample._replace(matrix=None) for sample in run.samples),
        layer=replace(layer, weights=all_zero((layer.n_out, layer.n_in))),
        matrix=Launched(matrices=(), n_out=layer.n_out, n_in=layer.n_in),
        storage=replace(run.storage, parts=dict.fromkeys(run.storage.parts, 0), dense_bits=0),
        verification=structs.replace(checked, inputs=checked.inputs + checked.weights),
    )
