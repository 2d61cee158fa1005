"""A front in a narrow terminal: its objectives and the faults of its points go last."""

from rich.console import Console

from eie_sim.report.sweep import sweep_table

ROW = {
    **{"unit": "eie", "n_pe": 64, "queue_depth": 8, "density": 0.25, "cycles": 83085, "time_us": 103.856},
    **{"energy_nj": 87788.3, "power_mw": 845.25, "area_mm2": 40.83, "bytes": 61100, "accuracy": 0.9},
    **{"weight_density": 0.25, "utilisation": 0.5, "load_balance": 0.5, "fits": True},
}
AXES = ("density", "n_pe", "queue_depth")


def printed(row, objectives, width):
    console = Console(width=width)
    with console.capture() as captured:
        console.print(sweep_table([row], AXES, None, objectives))
    return captured.get()


def test_objectives_are_shown_before_other_figures():
    assert "accuracy" not in printed(ROW, (), 80)
    shown = printed(ROW, ("cycles", "accuracy", "load_balance"), 80)
    assert "83,085" in shown
    assert "90.0 %" in shown
    assert "50.0 %" in shown
    assert "columns more" in shown


def test_an_objective_that_tables_do_not_have_gets_a_column():
    assert "845.2" in printed(ROW, ("power_mw",), 60)


def test_what_does_not_fit_is_said_in_a_narrow_terminal():
    assert "does not fit" in printed(ROW | {"fits": False, "misfit": "spmat_sram"}, (), 60)
