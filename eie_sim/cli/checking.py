"""The command for whoever writes a unit: check-unit."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Annotated

from cyclopts import Parameter

from eie_sim.cli import EXIT_FAILED
from eie_sim.cli.shell import Full, Json, app, console, often, print_json, print_lines, steps_shown
from eie_sim.units import UNITS

Name = Annotated[str, Parameter(help=f"A unit: {', '.join(UNITS)} or one of another package.")]


@often("examples", "json", "full")
@app.command
def check_unit(
    name: Name,
    /,
    *,
    examples: int = 25,
    json: Json = False,
    full: Full = False,
) -> int:
    """Check a unit: engines agree, counts add up, bad input is refused.

    Designs are drawn from the fields of its config, workloads at random; what fails is shown as small as it was found.
    Needs hypothesis, which the extra test installs.

    Example: eie-sim check-unit eie --examples 100

    Parameters
    ----------
    examples
        Designs and workloads that each check is tried on.
    """
    from eie_sim.report.text import TextTable
    from eie_sim.units import unit_named
    from eie_sim.units.testing import checked, require_hypothesis

    unit = unit_named(name)
    require_hypothesis()
    from hypothesis import configuration

    with steps_shown() as progress, TemporaryDirectory() as folder:
        configuration.set_hypothesis_home_dir(folder)  # it would leave one in the current folder
        try:
            report = checked(unit, examples=examples, progress=progress)
        finally:
            configuration.set_hypothesis_home_dir(None)
    if json:
        print_json(report.to_dict())
    else:
        cells = [
            [check.name, f"{check.n_example:,}", f"{len(check.faults)} faults" if check.faults else "passed"]
            for check in report.checks
        ]
        console(full).print(TextTable(["check", "examples", "found"], cells, text={0, 2}))
        print_lines(["", *report.faults, report.line])
    return EXIT_FAILED if report.faults else 0
