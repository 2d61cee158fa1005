"""The door: a matrix and its activations in, a result out."""

import numpy as np

from eie_sim.core.errors import as_floats, hold, require
from eie_sim.core.result import SimResult, config_hash
from eie_sim.units.unit import require_engine
from toy import engines
from toy.config import ToyConfig
from toy.words import ToyClass, ToyEvent


def simulate(matrix, activations, config=None, *, engine="fast", timeline=False, inputs=None):
    """Run a vector [n_in], or a batch [n_vector, n_in] one after the other."""
    config = config or ToyConfig()
    require_engine(engine)
    require(not timeline, "timeline", timeline, "must be False: a toy has none")
    given = as_floats("activations", activations, below=1e30)
    fits = given.ndim in (1, 2) and given.shape[-1] == matrix.n_in and len(given) > 0
    require(fits, "activations", f"shape {given.shape}", f"must be ({matrix.n_in},) or (n_vector, {matrix.n_in})")
    n_vector = 1 if given.ndim == 1 else len(given)
    classes = n_vector * getattr(engines, engine)(np.diff(matrix.starts), config)
    cycles, macs = int(classes[0].sum()), n_vector * len(matrix.values)
    hold(bool((classes.sum(axis=1) == cycles).all()), "classes", classes.tolist(), f"must add to {cycles}")
    hold(macs == classes[:, ToyClass.MAC].sum(), "macs", macs, "must be one a cycle")
    return SimResult(
        unit="toy",
        engine=engine,
        config=config,
        output=given @ matrix.decode().T.astype(np.float64),
        cycles=cycles,
        cycles_per_vector=np.full(n_vector, cycles // n_vector),
        n_vector=n_vector,
        n_unit=config.n_lane,
        event_names=ToyEvent.names(),
        counts=np.array([[macs, n_vector * matrix.n_out]]),
        class_names=ToyClass.names(),
        classes=classes,
        useful_class="mac",
        busy_classes=("mac", "start"),
        effectual_macs=macs,
        dense_macs=n_vector * matrix.n_out * matrix.n_in,
        active_inputs=int(np.count_nonzero(given)),
        inputs=inputs or f"given, {n_vector} vectors",
        config_hash=config_hash("toy", config.to_dict()),
    )
