"""The eie-sim command: arguments in, the library called, text or JSON out. No logic lives here."""

from __future__ import annotations

import json as json_module
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter, Token, convert

import eie_sim
from eie_sim.errors import InputError
from eie_sim.units.eie.config import EieConfig

if TYPE_CHECKING:
    from rich.console import Console

    from eie_sim.run import Progress


def _converted(kind: Any, tokens: Sequence[Token]) -> Any:
    """What cyclopts makes of the words, but 1.5 is no integer: it would be rounded."""
    for token in tokens:
        if kind is int and "." in token.value:
            raise ValueError(f'unable to convert "{token.value}" into int.')
    return convert(kind, tokens)


app = App(
    name="eie-sim",
    version=eie_sim.__version__,
    help="What does a pruned network cost on sparse hardware? Try: eie-sim run digits-mlp",
    default_parameter=Parameter(negative="", converter=_converted),
    suppress_keyboard_interrupt=False,  # main() answers it
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
    from eie_sim.archive import opened
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
            opened(source),
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


@app.command
def footprint(
    source: str,
    /,
    *,
    layer: str | None = None,
    density: float | None = None,
    n_keep: int = 2,
    m_group: int = 4,
    value_bits: int = 16,
    json: bool = False,
    design: Design = EieConfig(),  # noqa: B008  frozen, so sharing one default is safe
) -> int:
    """Count the bits of each layer in EIE's encoding and, from the same mask, in the usual formats.

    Example: eie-sim footprint digits-mlp --layer fc2

    Parameters
    ----------
    source
        A preset (see eie-sim presets) or a file: npz, npy, safetensors, mtx, smtx. Weights are (out, in).
    layer
        Count only this layer.
    density
        Prune each layer by magnitude to this density first, 0 to 1.
    n_keep
        Weights kept in each group, of the N:M format.
    m_group
        Weights in a group, of the N:M format.
    value_bits
        Width of a value in the uncompressed formats.
    json
        Print the formats as JSON.
    """
    from eie_sim.archive import opened
    from eie_sim.formats import footprint as count
    from eie_sim.report.text import formats_table
    from eie_sim.run import matrix_for
    from eie_sim.workload import load

    with _progress() as progress:
        progress(f"{source}: loading")
        network = load(opened(source), layer=layer, density=density)
        layers = []
        for one in network.layers:
            progress(f"{one.name}: compressing")
            formats = count(
                matrix_for(one, design),
                value_bits=value_bits,
                n_keep=n_keep,
                m_group=m_group,
                pointer_bits=design.pointer_bits,
            )
            layers.append({"name": one.name, "formats": [form.to_dict() for form in formats.values()]})
    if json:
        _print_json(layers)
    else:
        _console().print(formats_table(layers))
    return 0


@app.command
def energy(
    *,
    csv: bool = False,
    json: bool = False,
    design: Design = EieConfig(),  # noqa: B008  frozen, so sharing one default is safe
) -> int:
    """Show the energy per event with the source of every constant, and the area of a design.

    Example: eie-sim energy --csv > table.csv, edit it, and eie-sim run alex-7 --energy-table table.csv

    Parameters
    ----------
    csv
        Print the energies as CSV, to be edited and given to run.
    json
        Print energies and area as JSON.
    """
    from eie_sim.energy import EnergyTable, area
    from eie_sim.report.text import area_table, energy_table

    table, areas = EnergyTable.for_config(design), area(design).to_dict()
    records = [row._asdict() for row in table.rows]
    if csv:
        sys.stdout.write(table.to_csv())
    elif json:
        _print_json({"energy": records, "area": areas})
    else:
        console = _console()
        console.print(energy_table(records))
        console.print()
        console.print(area_table(areas))
    return 0


@app.command
def validate(*, seed: int = 0, json: bool = False) -> int:
    """Rerun published figures of the EIE paper, power by module (Table II) and times (Table IV), and show each error.

    Example: eie-sim validate --json

    Parameters
    ----------
    seed
        Of the synthetic weights and activations.
    json
        Print the comparisons as JSON.
    """
    from eie_sim.report.text import print_comparisons
    from eie_sim.validate import LAYERS, LayerResult, eie_times, energy_table2, simulate_layers

    layers: dict[str, LayerResult] = {}
    with _progress() as progress:
        for name in LAYERS:
            progress(f"{name}: simulating")
            layers |= simulate_layers([name], seed=seed)
    records = [row.to_dict() for row in [*energy_table2(layers), *eie_times(layers)]]
    if json:
        _print_json(records)
    else:
        print_comparisons(records, _console())
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

    console = Console(highlight=False)
    console.width = max(console.width, MIN_WIDTH)  # a narrow terminal wraps lines, and no figure is cut
    return console


def _print_json(value: Any) -> None:
    sys.stdout.write(json_module.dumps(value, indent=2, allow_nan=False) + "\n")


def _read_text(field: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{field}={path}: {error.strerror or 'cannot be read'}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{field}={path}: must be UTF-8 text") from error


def _fail(message: str) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return EXIT_BAD_INPUT


def _drop_output() -> None:
    """Send what is still in the buffer nowhere, or Python would trip over it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Exit code 0: done; 1: the result differs from the golden product; 2: bad input or full disk."""
    try:
        code: int = app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0
        sys.stdout.flush()  # so that a reader that went away is noticed here, and not when Python ends
    except (CycloptsError, InputError) as error:
        code = _fail(str(error))
    except MemoryError:
        code = _fail("memory: not enough for this workload and design; run one layer, or fewer vectors")
    except (BrokenPipeError, SystemExit):  # the reader of our output went away, as `| head` does; rich exits then
        _drop_output()
        code = 0
    except OSError as error:
        _drop_output()
        code = _fail(str(error))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = 130
    return code
