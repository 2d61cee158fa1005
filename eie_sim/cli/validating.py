"""The command that sets published figures beside simulated ones: validate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from eie_sim.cli.shell import Full, Json, app, console, often, print_json, steps_shown
from eie_sim.core.errors import any_of, require, require_one_of, require_seed
from eie_sim.units import UNITS

ALL, SIZES = "all", "deep-compression"
"""Names that are no unit's: every figure, and the sizes of Deep Compression."""

Paper = Annotated[
    str,
    Parameter(
        help=f"{', '.join([ALL, *UNITS])} or {SIZES}. A unit of another package too, if it has published figures; "
        "the last is Han et al., ICLR 2016."
    ),
]


@often("summary", "figure", "seed", "json")
@app.command
def validate(
    paper: Paper = ALL,
    /,
    *,
    seed: int = 0,
    summary: bool = False,
    figure: Path | None = None,
    json: Json = False,
    full: Full = False,
) -> int:
    """Rerun published figures: published, simulated, error, verdict.

    Of each unit: times, power, energies and studies of its paper, measured products, other simulators' cycles and
    energies, own measurements, as far as they are published; and Deep Compression's sizes.
    With the name of one of them, more of it: how each size comes about, or the source of every value of the presets.

    Example: eie-sim validate --summary --figure validation.png
    eie-sim validate deep-compression

    Parameters
    ----------
    seed
        Of synthetic weights, activations and masks. Where a unit is held against some.
    summary
        Print errors and studies without the rows. Errors are those of each group.
    figure
        Draw published against simulated into this file, png or svg. The studies too.
    """
    from eie_sim.core.result import config_hash
    from eie_sim.report.figures.style import require_file
    from eie_sim.report.validation import draw_validation, print_details, print_validation, validation_record
    from eie_sim.study import validate as validation

    known = {one.name: one for one in validation.publications()}
    require_one_of("paper", paper, (ALL, *known))
    asked = list(known.values()) if paper == ALL else [known[paper]]
    require_seed(seed)
    if paper != ALL and (details := asked[0].details) is not None:
        as_rows = any_of([ALL, *(name for name, one in known.items() if one.details is None)])
        require(not summary and figure is None, "paper", paper, f"must be {as_rows} with --summary or --figure")
        with steps_shown() as progress:
            found = details(seed, progress=progress)
        if json:
            print_json(found.record)
        else:
            print_details(found, console(full))
        return 0
    if figure is not None:
        require_file("figure", figure)
    hashed = config_hash(asked[0].name, asked[0].config().to_dict())
    with steps_shown() as progress:
        compared = validation.rows_of(asked, seed, progress=progress)
        studies = validation.studies_of(asked, seed, progress=progress)
        if figure is not None:
            progress("drawing")
            draw_validation(compared, studies, figure, config_hash=hashed)
    record = validation_record(compared, studies, seed=seed, config_hash=hashed)
    if json:
        print_json(record)
    else:
        print_validation(record, console(full), summary=summary)
    return 0
