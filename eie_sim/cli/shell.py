"""The parts that all commands share: the app, the design's options, progress, tables and JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from cyclopts import App, CoercionError, Group, Parameter, Token, convert

import eie_sim
from eie_sim.cli.streams import plain
from eie_sim.core.errors import InputError, require
from eie_sim.core.files import read_text
from eie_sim.units import UNITS
from eie_sim.units.unit import Unit, found_at

if TYPE_CHECKING:
    from eie_sim.archive import Archive
    from eie_sim.energy import EnergyTable
    from eie_sim.network import Network
    from eie_sim.network.graph import Graph
    from eie_sim.pipeline import Progress
    from eie_sim.report.text import Screen

Command = Callable[..., int]

MAX_TEXT = 2**20
"""Most bytes of a text file; tables of energies have a few hundred."""


def _converted(kind: Any, tokens: Sequence[Token]) -> Any:
    """Return the value that cyclopts makes of the words; refuse an empty path, and 1.5 as an integer, which it rounds.

    The words of a list may have commas between them.
    """
    kinds = (kind, *get_args(kind))  # of Path | None both
    if get_origin(kind) is tuple:
        for token in tokens:
            name = (token.keyword or "").removeprefix("--").replace("-", "_")
            require(all(listed(token.value)), name, token.value, "must have a value on either side of every comma")
        tokens = [token.evolve(value=value) for token in tokens for value in listed(token.value)]
    for token in tokens:
        if Path in kinds and not token.value:
            raise CoercionError(token=token, target_type=Path)
        if int in kinds and "." in token.value:
            raise CoercionError(token=token, target_type=int)
    return convert(kind, tokens)


def listed(word: str) -> list[str]:
    """The values between commas; of fc1=0.3,fc2=0.1 each with its name, which may have commas itself."""
    word = word.removesuffix(",")
    if "=" not in word:
        return word.split(",")
    pairs = re.findall(r"([^=]+=[^=,]+)(?:,|$)", word)
    return pairs if ",".join(pairs) == word else [word]


app = App(
    name="eie-sim",
    version=eie_sim.__version__,
    help="What does a pruned network cost on sparse hardware?",
    help_flags=[],  # `helping` prints it
    default_parameter=Parameter(negative="", converter=_converted),
    suppress_keyboard_interrupt=False,  # main() answers it
)

_ALSO = (
    "See eie-sim presets. A file may be mtx.gz, smtx.gz, the folder or safetensors.index.json of shards, or an archive "
    "of --out, too. Weights are (out, in)."
)
Source = Annotated[str, Parameter(help=f"A preset or a file: onnx, npz, npy, safetensors, mtx, smtx. {_ALSO}")]
Layers = Annotated[str, Parameter(help=f"A preset or a file: npz, npy, safetensors, mtx, smtx. {_ALSO}")]
"""A source that may not be a graph of operators."""

Energies = Annotated[
    Path | None,
    Parameter(
        help="CSV with the columns event, energy_pj, source that replaces energies (see eie-sim energy). They are "
        "taken as given at any node; the others stay default ones, scaled to the node."
    ),
]
Several = Annotated[tuple[float, ...], Parameter(consume_multiple=True)]
Counts = Annotated[tuple[int, ...], Parameter(consume_multiple=True)]
Names = Annotated[tuple[str, ...], Parameter(consume_multiple=True)]

Json = Annotated[bool, Parameter(help="Print the result as JSON.")]
Full = Annotated[bool, Parameter(help="Show all columns of tables, however wide the terminal is.")]


@dataclass(frozen=True, kw_only=True)
class Given:
    """The inputs that a network is given, as `network.load` takes them.

    Parameters
    ----------
    activations
        File with the inputs of the layer, or of the first one in a chain: one vector or a batch.
    activation_density
        Use independent random inputs of this density, 0 to 1; a lower-quality mode, and labelled so.
    """

    activations: Path | None = None
    activation_density: float | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Options that say how to read the arrays of a file, as `network.load` takes them.

    Parameters
    ----------
    chain
        Layers in their order, as fc1,fc2,fc3. Each takes the outputs of the one before; arrays are no chain without
        it. A BatchNorm right after its layer is folded: name it there, fc1,bn1,fc2; its number may say so too; -bn1
        leaves it out.
    between
        What stands between the layers of the chain: relu or none.
    layout
        How weights are stored where no bias tells: out-in or in-out.
    """

    chain: str | None = None
    between: str = "relu"
    layout: str | None = None


@dataclass(frozen=True, kw_only=True)
class OfModel:
    """The inputs that a graph of operators is for.

    Parameters
    ----------
    inputs
        File npz with an array for each input, or npy of one. Arrays have the names of the inputs; what is not
        given is drawn.
    shape
        Of an input that is drawn, as name=1x3x224x224; a side that neither this nor the file says is 1.
    batch
        First side of inputs that are drawn. Where the file leaves it free.
    calibration
        File with other inputs of the same shapes to choose fixed-point scales from.
    labels
        File npy or npz with the right class of each input, for accuracy; an array labels in the file of --inputs is it.
    """

    inputs: Path | None = None
    shape: tuple[str, ...] = ()
    batch: int | None = None
    calibration: Path | None = None
    labels: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Lowering:
    """Options that say how a unit gets a graph of operators, as `eie_sim.run` takes them.

    Parameters
    ----------
    positions
        Time and check only so many positions of each product. They are spread evenly; outputs are of all, figures are
        scaled.
    no_fold
        Leave BatchNorms to the host.
    depthwise_as_gemm
        Hand depthwise convolutions also to a unit that leaves them to the host.
    persistent
        Run all steps of a recurrent product in one launch, on a unit that has launches.
    """

    positions: int | None = None
    no_fold: bool = False
    depthwise_as_gemm: bool = False
    persistent: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """Keywords of `eie_sim.run`."""
        return {
            "positions": self.positions,
            "fold": not self.no_fold,
            "depthwise_as_gemm": self.depthwise_as_gemm,
            "persistent": self.persistent,
        }


Arrays = Annotated[Reading, Parameter(name="*", group=Group("Arrays of a file", sort_key=3))]
Model = Annotated[OfModel, Parameter(name="*", group=Group("Inputs of an ONNX file", sort_key=4))]
Lowered = Annotated[Lowering, Parameter(name="*", group=Group("How an ONNX file is run", sort_key=5))]
Inputs = Annotated[Given, Parameter(name="*")]
Engine = Annotated[
    Literal["fast", "reference"],
    Parameter(help="fast (completion times) or reference (discrete events); both give the same."),
]
UNIT: Unit = found_at(next(iter(UNITS.values())))
"""The unit that commands run a network on: ours, so that no other package is looked for before a command runs."""

DESIGN = Group("Design", sort_key=2)
OFTEN: dict[str, tuple[str, ...]] = {}
"""Options that the short help of a command shows, by the command."""

INPUTS = Given()
ARRAYS = Reading()
MODEL = OfModel()
LOWERING = Lowering()
"""The defaults of every command; frozen, so they share them."""


def often(*options: str) -> Callable[[Command], Command]:
    """Have the short help of a command show these options, a line each, and those of its design that come first."""

    def noted(command: Command) -> Command:
        OFTEN[command.__name__.replace("_", "-")] = options
        return command

    return noted


@contextmanager
def steps_shown() -> Iterator[Progress]:
    """Show the current step on a terminal's standard error; stay quiet elsewhere."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("") as status:
        yield lambda step: status.update(Text(plain(step)))


def loaded(source: str, progress: Progress, arrays: Reading, **given: Any) -> Network:
    """The network of a preset, file or archive. given : as for `network.load`."""
    return loaded_from(source, progress, arrays, **given)[0]


def loaded_from(source: str, progress: Progress, arrays: Reading, **given: Any) -> tuple[Network, Archive | None]:
    """The network, and the archive that it was read from, if it was one. given : as for `network.load`."""
    from eie_sim.archive import archive_at
    from eie_sim.network import load

    progress(f"{source}: loading")
    archive = archive_at(source)
    return load(source if archive is None else archive.network, **given, **asdict(arrays)), archive


def shapes_of(model: OfModel) -> dict[str, tuple[int, ...]] | None:
    """The shapes of --shape by name; None without one."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in model.shape:
        name, _, sides = text.rpartition("=")
        whole = bool(name) and all(side.isdecimal() for side in sides.split("x"))
        require(whole, "shape", text, "must be name=1x3x224x224")
        shapes[name] = tuple(int(side) for side in sides.split("x"))
    return shapes or None


def graph_at(source: str, model: OfModel, progress: Progress, arrays: Reading, **given: Any) -> Graph:
    """The graph of an ONNX file. given : of layers, which must be left out, and `seed`"""
    from eie_sim.network import Network
    from eie_sim.network.loading import load

    progress(f"{source}: loading")
    changed = {name: value for name, value in asdict(arrays).items() if value != getattr(ARRAYS, name)}
    loading: dict[str, Any] = {
        "inputs": model.inputs,
        "shapes": shapes_of(model),
        "batch": model.batch,
        "calibration": model.calibration,
        "labels": model.labels,
    }
    found = load(source, **loading, **given, **changed)
    if isinstance(found, Network):
        raise InputError(f"file={source}: must be an ONNX file")
    return found


def require_layers(model: OfModel) -> None:
    """Raise InputError where inputs of a graph are given with what is none."""
    for name, value in asdict(model).items():
        require(not value, name, value, "must be left out: the network is no ONNX file")


def on_given(network: Network, inputs: Given) -> Network:
    """The network whose costs are measured on the inputs that are given; else its calibration inputs go before."""
    return network if inputs == INPUTS else replace(network, calibration=None)


def console(full: bool = False) -> Screen:
    """Return the console that prints tables. full : with all columns"""
    from eie_sim.report.text import Screen

    return Screen(full=full)


def print_lines(lines: Iterable[str]) -> None:
    """Print text that the terminal wraps."""
    shown = console()
    for line in lines:
        shown.print(line)


def print_json(value: Any) -> None:
    """Print plain data as JSON."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def energies_of(path: Path | None, design: Any) -> EnergyTable | None:
    """The table of --energy-table for a design; None without one. Raises InputError, as `from_csv` and `read_text`."""
    if path is None:
        return None
    from eie_sim.energy import EnergyTable

    return EnergyTable.from_csv(read_text("energy_table", path, MAX_TEXT), design, where=f"energy_table={path}")
