"""The help of every command: on one screen, with examples of a user's own file, and nothing heavy loaded for it."""

import re
import subprocess
import sys
from itertools import pairwise

import pytest

from eie_sim.cli import COMMANDS, commands
from eie_sim.cli.shell import OFTEN, app

SCREEN, WIDTH = 24, 80
EACH = ["", *COMMANDS]
HEAVY = ("numpy", "numba", "scipy", "matplotlib", "onnx", "onnxruntime", "torch", "simpy", "msgspec", "pandas", "rich")
WITHOUT_FILE = {"presets", "energy", "validate", "check-unit"}
OWN = re.compile(r"\b(model\.onnx|weights\.npz)\b")


@pytest.fixture
def shown(ask, monkeypatch):
    """The lines of a help at a width."""

    def shown(*words, columns=WIDTH):
        monkeypatch.setenv("COLUMNS", str(columns))
        code, out, err = ask(*words, "--help")
        assert (code, err) == (0, "")
        return out.splitlines()

    return shown


def options_in(lines):
    return re.findall(r"^  (--[a-z0-9-]+)", "\n".join(lines), re.MULTILINE)


@pytest.mark.parametrize("command", EACH)
def test_help_fits_a_screen(shown, command):
    lines = shown(*command.split())
    assert len(lines) <= SCREEN
    assert max(map(len, lines)) <= WIDTH
    assert lines[0].startswith(f"Usage: eie-sim {command or 'COMMAND'}")


@pytest.mark.parametrize("unit", ["nm", "rtx3090"])
@pytest.mark.parametrize("command", ["run", "prune", "trace", "energy"])
def test_help_of_another_unit_fits_a_screen(shown, command, unit):
    lines = shown(command, "--unit", unit)
    assert len(lines) <= SCREEN
    assert lines[-1].endswith(f": eie-sim {command} --unit {unit} --help --full")
    assert "--n-core" in options_in(lines)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in WITHOUT_FILE])
def test_an_example_has_a_file_of_the_users_own(shown, command):
    examples = [line for line in shown(command) if re.match(r"(Example:| {8}) eie-sim", line)]
    assert any(OWN.search(line) for line in examples)
    assert all(line.split("eie-sim ")[1].split()[0] in COMMANDS for line in examples)


@pytest.mark.parametrize("command", COMMANDS)
def test_short_help_says_how_many_options_it_leaves_out(shown, command):
    short, full = shown(command), shown(command, "--full")
    left = set(options_in(full)) - set(options_in(short))
    assert set(options_in(short)) <= set(options_in(full))
    if not left:
        assert " more, in " not in short[-1]
        return
    counted = re.fullmatch(rf"(\d+) options? more, in (\d+) groups?: eie-sim {command} --help --full", short[-1])
    sections = [options_in(section.splitlines()) for section in "\n".join(full).split("\n\n")]
    assert (int(counted[1]), int(counted[2])) == (len(left), sum(1 for options in sections if left & set(options)))


@pytest.mark.parametrize("command", COMMANDS)
def test_full_help_has_every_option_with_what_it_does(shown, command):
    arguments = commands()[command].assemble_argument_collection(default_parameter=app.default_parameter)
    full = shown(command, "--full", columns=120)
    for one in (one for one in arguments if one.show):
        line = next(at for at, line in enumerate(full) if re.match(rf"  (.*, )?{re.escape(one.name)}(,| |$)", line))
        assert re.search(r"\S {2,}\S", full[line]) or full[line + 1].startswith("    "), one.name
    assert not any(sign in "".join(full) for sign in "│╭─")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_that_are_shown_exist_and_take_a_line_or_two(shown, command):
    lines, often = shown(command), OFTEN[command]
    named = {option.replace("-", "_").removeprefix("__") for option in options_in(lines)}
    assert set(often) <= named
    assert "json" in often
    kept = [line for line in lines if not line.strip().startswith(("eie-sim", "Example"))]
    assert not any(first.startswith("   ") and second.startswith("   ") for first, second in pairwise(kept))


def test_choices_and_defaults_are_listed(shown):
    full = "\n".join(shown("run", "--full"))
    assert "--engine fast|reference" in full
    assert "--seed INT" in full and "[0]" in full
    assert "2:4" in full
    assert "--batches INT,..." in "\n".join(shown("compare"))


def test_the_commands_stand_in_order_of_use_a_line_each(shown):
    lines = shown()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(COMMANDS)
    assert list(COMMANDS)[:5] == ["run", "describe", "prune", "compare", "sweep"]
    assert any(OWN.search(line) and line.startswith("Example") for line in lines)


def test_the_list_of_commands_is_that_of_the_app():
    assert {name for name in commands() if not name.startswith("-")} == set(COMMANDS)


@pytest.mark.parametrize("command", EACH)
def test_help_of_every_command_loads_nothing_heavy(command):
    program = f"import sys; from eie_sim.cli import main; main({[*command.split(), '--help']})\n"
    program += f"print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", EACH)
@pytest.mark.parametrize("columns", [20, 40, 60, 300])
def test_a_terminal_of_another_width_breaks_nothing(shown, command, columns):
    for full in ((), ("--full",)):
        lines = shown(*command.split(), *full, columns=columns)
        assert max(map(len, lines)) <= min(columns, 120)
    words = re.sub(r"[^a-z]", "", "".join(shown(*command.split(), "--full", columns=columns)))
    assert words == re.sub(r"[^a-z]", "", "".join(shown(*command.split(), "--full")))


def test_help_is_asked_for_anywhere_but_behind_two_dashes(ask):
    asked = ask("run", "--help")
    assert ask("run", "digits-mlp", "--n-pe", 4, "-h") == asked
    assert ask("--help", "run") == asked
    assert ask() == ask("-h") == ask("--help")
    assert ask("run", "--", "--help")[0] == 2


@pytest.mark.parametrize("words", [["bogus", "--help"], ["bogus"], ["--unit", "nm", "--help"]])
def test_help_of_no_command_is_an_error(ask, words):
    code, out, err = ask(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and len(err.splitlines()) == 1
