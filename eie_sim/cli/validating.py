"""The command that sets published figures beside simulated ones: validate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from eie_sim.cli.shell import Json, app, console, print_json, print_lines, steps_shown
from eie_sim.core.errors import any_of, require, require_one_of, require_seed
from eie_sim.units import UNITS
from eie_sim.units.unit import Unit

ALL, SIZES = "all", "deep-compression"
"""What is asked for beside units: every figure, and sizes, which belong to no unit."""

Paper = Annotated[
    str,
    Parameter(
        help=f"{ALL}, a unit with published figures ({', '.join(UNITS)} or one of another package), or {SIZES} (Han et "
        "al., ICLR 2016)."
    ),
]


@app.command
def validate(
    paper: Paper = ALL,
    /,
    *,
    seed: int = 0,
    summary: bool = False,
    figure: Path | None = None,
    json: Json = False,
) -> int:
    """Rerun every published figure that the simulator is set beside: published, simulated, error and verdict.

    Of each unit: times, power, energies and studies of its paper, measured products, other simulators' cycles and
    energies, own measurements, as far as they are published; and Deep Compression's sizes.
    With the name of one of them, more of it: how each size comes about, or the source of every value of the presets.

    Example: eie-sim validate --summary --figure validation.png

    Parameters
    ----------
    seed
        Of the synthetic weights, activations and masks, where a unit is held against some.
    summary
        Print the errors of each group and the studies, without the rows.
    figure
        Draw published against simulated, and the studies, into this file: png or svg.
    """
    from eie_sim import validate as validation

    units = {unit.name: unit for unit in validation.published_units()}
    require_one_of("paper", paper, (ALL, *units, SIZES))
    if paper == SIZES or (paper in units and units[paper].details is not None):
        as_rows = any_of([ALL, *(name for name, unit in units.items() if unit.details is None)])
        require(not summary and figure is None, "paper", paper, f"must be {as_rows} with --summary or --figure")
        return _deep_compression(seed, json) if paper == SIZES else _details(units[paper], seed, json)
    from eie_sim.core.result import config_hash
    from eie_sim.report.figures.style import require_file
    from eie_sim.report.validation import draw_validation, print_validation, validation_record

    require_seed(seed)
    if figure is not None:
        require_file("figure", figure)
    asked = list(units.values()) if paper == ALL else [units[paper]]
    design = asked[0]
    hashed = config_hash(design.name, design.config().to_dict())
    with steps_shown() as progress:
        if paper == ALL:
            compared = validation.everything(seed, progress=progress)
        else:
            compared = validation.rows_of(asked, seed, progress=progress)
        studies = validation.studies_of(asked, seed, progress=progress)
        if figure is not None:
            progress("drawing")
            draw_validation(compared, studies, figure, config_hash=hashed)
    record = validation_record(compared, studies, seed=seed, config_hash=hashed)
    if json:
        print_json(record)
    else:
        print_validation(record, console(), summary=summary)
    return 0


def _deep_compression(seed: int, json: bool) -> int:
    from eie_sim.deep_compression import published_record
    from eie_sim.report.pruning import published_lines, published_table

    with steps_shown() as progress:
        records = published_record(seed, progress=progress)
    if json:
        print_json([record.to_dict() for record in records])
    else:
        console().print(published_table(records))
        print_lines(["", *published_lines(records)])
    return 0


def _details(unit: Unit, seed: int, json: bool) -> int:
    from eie_sim.report.validation import print_details

    assert unit.details is not None
    require(seed == 0, "seed", seed, f"must be left out for {unit.name}, where nothing is random")
    details = unit.details()
    if json:
        print_json(details.record)
    else:
        print_details(details, console())
    return 0
