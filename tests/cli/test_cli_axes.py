"""The options of a sweep: one for each axis, in groups, with the axis' help; values arrive as axes read them."""

import dataclasses
import re
import subprocess
import sys

import pytest
from cyclopts import App, CycloptsError, Parameter

from eie_sim.cli import shell
from eie_sim.cli.axes import NO_AXES, AxisOptions, given
from eie_sim.core.errors import InputError
from eie_sim.study.axes import AXES, groups

app = App(name="scratch", default_parameter=Parameter(negative="", converter=shell._converted))


@app.command
def sweep(source: str, /, *, json: bool = False, axes: AxisOptions = NO_AXES):
    """Show what arrives."""
    return source, json, given(axes)


def arrived(*arguments):
    return app(["sweep", *arguments], exit_on_error=False, print_error=False, result_action="return_value")


def test_values_arrive():
    words = ["--density", "0.02:0.5:20", "--n-pe", "1,2,4,...,256", "--queue-depth", "1..256"]
    source, json, values = arrived("alex-7", *words, "--json")
    assert (source, json, list(values)) == ("alex-7", True, ["density", "n_pe", "queue_depth"])
    assert len(values["density"]) == 20
    assert values["n_pe"] == (1, 2, 4, 8, 16, 32, 64, 128, 256)
    assert values["queue_depth"] == tuple(range(1, 257))


def test_no_options_are_no_axes():
    assert arrived("alex-7") == ("alex-7", False, {})


@pytest.mark.parametrize("axis", AXES)
def test_every_axis_is_an_option(axis):
    kind = AXES[axis].kind
    text = {"tiles": "64x64", "mma": "4x4x4", "patterns": "2:4", "remove": "yes"}.get(axis, (kind.choices or "1")[0])
    assert list(arrived("alex-7", f"--{axis.replace('_', '-')}", text)[2]) == [axis]


def test_options_are_kept_and_cannot_be_changed():
    assert [field.name for field in dataclasses.fields(NO_AXES)] == list(AXES)
    with pytest.raises(dataclasses.FrozenInstanceError):
        NO_AXES.n_pe = "1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--n-pe=-1..x"], "n_pe=-1..x: must be"),
        (["--density", "-0.1:x:3"], "requires an argument"),
        (["--density=-0.1:x:3"], "density=x"),
        (["--n-pe", "-x"], "requires an argument"),
        (["--n-pe", "--density", "1"], "requires an argument"),
        (["--n-pe"], "requires an argument"),
        (["--n-pe", ""], "n_pe='': must be at least one value"),
        (["--n-pe", "1", "--n-pe", "2"], "multiple times"),
        (["--n-pe", "1", "2"], "2"),
        (["--n-pee", "1"], "--n-pe"),
        (["--pattern", "blok"], "did you mean block"),
    ],
)
def test_what_is_wrong_is_said(arguments, said):
    with pytest.raises((CycloptsError, InputError)) as caught:
        arrived("alex-7", *arguments)
    assert said in str(caught.value)


def test_a_negative_value_arrives_for_the_design_to_refuse():
    assert arrived("alex-7", "--penalty-l1", "-0.5")[2] == {"penalty_l1": (-0.5,)}


def test_help_has_the_groups_in_order_and_says_which_unit(ask):
    shown = ask("sweep", "--help", "--full")[1]
    assert [line for line in shown.splitlines() if line in groups()] == list(groups())
    options = re.findall(r"^  --([a-z0-9-]+)", shown, re.MULTILINE)
    shown = " ".join(shown.split())
    at = [options.index(name.replace("_", "-")) for name in AXES]
    assert at == sorted(at)
    assert "nm-64. (N:M only)" in shown and "1e6. (N:M too)" in shown
    assert "Usable entries of each PE's activation queue." in shown


def test_the_options_load_nothing_heavy():
    heavy = "('numpy', 'numba', 'scipy', 'matplotlib', 'simpy')"
    program = f"import sys, eie_sim.cli.axes\nprint([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
