"""The eie-sim command: arguments in, the library called, text or JSON out. No logic lives here."""

from __future__ import annotations

import json as json_module
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

import eie_sim
from eie_sim.errors import InputError
from eie_sim.units.eie.config import EieConfig

if TYPE_CHECKING:
    from rich.console import Console

    from eie_sim.run import Progress

app = App(
    name="eie-sim",
    version=eie_sim.__version__,
    help="What does a pruned network cost on sparse hardware? Try: eie-sim run digits-mlp",
    default_parameter=Parameter(negative=""),
)

Design = Annotated[EieConfig, Parameter(name="*", group="Design")]

EXIT_DIFFERS = 1
EXIT_BAD_INPUT = 2


@app.command
def run(
    source: str,
    /,
    *,
    layer: str | None = None,
    activations: Path | None = None,
    activation_density: float | None = None,
    density: float | None = None,
    seed: int = 0,
    engine: Literal["fast", "reference"] = "fast",
    energy_table: Path | None = None,
    out: Path | None = None,
    json: bool = False,
    design: Design = EieConfig(),  # noqa: B008  frozen, so sharing one default is safe
) -> int:
    """Simulate a network or layer on EIE: cycles, energy, memory, verified against the dense product.

    Example: eie-sim run alex-7 --queue-depth 16 --json

    Parameters
    ----------
    source
        A preset (see eie-sim presets) or a file: npz, npy, safetensors, mtx, smtx. Weights are (out, in).
    layer
        Run only this layer.
    activations
        File with the inputs of the first layer, one vector or a batch.
    activation_density
        Use independent random inputs of this density, 0 to 1; a lower-quality mode, and labelled so.
    density
        Prune each layer by magnitude to this density first, 0 to 1.
    seed
        Of everything random.
    engine
        fast (completion times) or reference (discrete events); both give the same.
    energy_table
        CSV with the columns event, energy_pj, source that replaces energies (see eie-sim energy).
    out
        Keep the run in this folder: run.json and layers.csv.
    json
        Print the run as JSON.
    """
    from eie_sim.energy import EnergyTable
    from eie_sim.report.folder import write_run
    from eie_sim.report.record import network_record
    from eie_sim.report.text import print_network
    from eie_sim.run import run_network
    from eie_sim.workload import load

    table = None if energy_table is None else EnergyTable.from_csv(_read_text("energy_table", energy_table), design)
    with _progress() as progress:
        progress(f"{source}: loading")
        network = load(
            source,
            layer=layer,
            activations=None if activations is None else str(activations),
            activation_density=activation_density,
            density=density,
            seed=seed,
        )
        done = run_network(network, design, engine=engine, table=table, progress=progress)
    record = network_record(done)
    if out is not None:
        write_run(out, record)
    if json:
        _print_json(record)
    else:
        print_network(record, _console())
    return 0 if done.verified else EXIT_DIFFERS


@app.command
def presets(*, json: bool = False) -> int:
    """List the networks and layers that come with the package.

    Example: eie-sim presets

    Parameters
    ----------
    json
        Print the list as JSON.
    """
    from eie_sim.report.text import presets_table
    from eie_sim.workload import presets as known

    records = [preset.to_dict() for preset in known()]
    if json:
        _print_json(records)
    else:
        _console().print(presets_table(records))
    return 0


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show the current step on a terminal's standard error; stay quiet elsewhere."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update


def _console() -> Console:
    from rich.console import Console

    from eie_sim.report.text import MIN_WIDTH

    return Console(highlight=False, width=None if sys.stdout.isatty() else MIN_WIDTH)


def _print_json(value: Any) -> None:
    sys.stdout.write(json_module.dumps(value, indent=2, allow_nan=False) + "\n")


def _read_text(field: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{field}={path}: {error.strerror or 'cannot be read'}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{field}={path}: must be UTF-8 text") from error


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Exit code 0: done; 1: the result differs from the golden product; 2: bad input."""
    try:
        return app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0
    except (CycloptsError, InputError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return EXIT_BAD_INPUT
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
