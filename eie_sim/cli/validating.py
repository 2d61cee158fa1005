"""The command that sets published figures beside simulated ones: validate."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from eie_sim.cli.shell import Json, app, console, print_json, print_lines, steps_shown
from eie_sim.core.errors import InputError, require_seed


@app.command
def validate(
    paper: Literal["all", "eie", "deep-compression", "nm"] = "all",
    /,
    *,
    seed: int = 0,
    summary: bool = False,
    figure: Path | None = None,
    json: Json = False,
) -> int:
    """Rerun every published figure that the simulator is set beside: published, simulated, error and verdict.

    EIE's times, power, bars, energies and studies; N:M tensor cores: measured products, another simulator's cycles and
    energies, own measurements; Deep Compression's sizes.
    With the name of one of them, more of it: how each size comes about, or the source of every value of the presets.

    Example: eie-sim validate --summary --figure validation.png

    Parameters
    ----------
    paper
        all, eie (Han et al., ISCA 2016), deep-compression (Han et al., ICLR 2016) or nm (every preset of tensor cores).
    seed
        Of the synthetic weights, activations and masks; nm has none.
    summary
        Print the errors of each group and the studies, without the rows.
    figure
        Draw published against simulated, and the studies, into this file: png or svg.
    """
    if paper in ("deep-compression", "nm") and (summary or figure is not None):
        raise InputError(f"paper={paper}: must be all or eie with --summary or --figure")
    if paper == "deep-compression":
        return _deep_compression(seed, json)
    if paper == "nm":
        return _nm(seed, json)
    from eie_sim import validate as validation
    from eie_sim.report.figures.style import require_file
    from eie_sim.report.validation import draw_validation, print_validation, validation_record

    require_seed(seed)
    if figure is not None:
        require_file("figure", figure)
    with steps_shown() as progress:
        rerun = {"all": validation.everything, "eie": validation.eie_rows}[paper]
        compared, studies = rerun(seed, progress=progress), validation.studies(seed, progress=progress)
        if figure is not None:
            progress("drawing")
            draw_validation(compared, studies, figure)
    record = validation_record(compared, studies, seed=seed)
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


def _nm(seed: int, json: bool) -> int:
    from eie_sim import validate as validation
    from eie_sim.report.nm import (
        chips_lines,
        chips_record,
        choice_lines,
        gemm_record,
        gemm_table,
        power_table,
        summary_lines,
    )
    from eie_sim.report.validation import groups_table, validation_tables
    from eie_sim.units.nm.provenance import HELD_AGAINST
    from eie_sim.validate.chips import BEFORE
    from eie_sim.validate_nm import PRESET, calibration_note, choices, dense_note, gemm_times, summaries

    if seed != 0:
        raise InputError(f"seed={seed}: must be left out for nm, where nothing is random")
    compared = gemm_times()
    notes = (calibration_note(compared), dense_note(compared))
    record = gemm_record(compared, summaries(compared), choices(), preset=PRESET, notes=notes)
    chips = chips_record(validation.chips(), validation.chips(BEFORE), validation.power(), HELD_AGAINST)
    record["chips"] = chips
    if json:
        print_json(record)
    else:
        screen = console()
        screen.print(gemm_table(record))
        print_lines(["", *summary_lines(record), ""])
        before = {**chips, "groups": chips["groups_before"]}
        for shown in (
            *validation_tables(chips),
            groups_table(chips, title="errors"),
            groups_table(
                before, title="errors with the presets' first values, before any was chosen; L2 and clock as now"
            ),
            power_table(chips),
        ):
            screen.print(shown)
            screen.print()
        print_lines([*chips_lines(chips), "", *choice_lines(record)])
    return 0
