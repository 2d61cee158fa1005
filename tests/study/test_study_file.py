"""A study that is kept: what a TOML file says, and one line with the file's name where it cannot be read."""

import os
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_sample import EXAMPLE

from eie_sim.core.errors import InputError
from eie_sim.study.file import MAX_STUDY_BYTES, read_study

LEAST = 'workload = "alex-7"\n[grid]\n'


@pytest.fixture
def study(tmp_path):
    """Write a study and read it."""

    def study(text):
        path = tmp_path / "study.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_study(path)

    return study


def refused(read, *arguments):
    with pytest.raises(InputError) as caught:
        read(*arguments)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_study_says_what_to_run(study, tmp_path):
    found = study(EXAMPLE)
    grid = found.pop("grid")
    assert len(grid.pop("density")) == 20
    assert grid == {
        "n_pe": tuple(range(1, 9)),
        "queue_depth": tuple(range(1, 257)),
        "clock_mhz": (800.0,),
        "tiles": (((64, 64),), ((256, 128), (128, 256)), ((32, 32), (16, 16))),
        "pattern": ("element", "2:4"),
        "layer": ("each",),
    }
    assert found == {
        "workload": "alex-7",
        "seed": 3,
        "inputs": None,
        "shapes": None,
        "calibration": None,
        "labels": None,
        "activations": str(tmp_path / "frames.npy"),
        "activation_density": None,
        "verify": True,
        "energy_table": str(tmp_path / "tables/chip.csv"),
        "store": str(tmp_path / "points/alex-7.jsonl"),
        "points": (
            {"n_pe": 64, "queue_depth": 8, "vector": "all"},
            {"dram_bytes_per_cycle": Fraction(20800, 31), "mma": (16, 8, 16)},
        ),
        "search": {"objectives": ("cycles", "energy_nj"), "trials": 200},
    }


def test_what_is_left_out_has_its_default(study):
    assert study(LEAST) == {
        "workload": "alex-7",
        "seed": 0,
        "inputs": None,
        "shapes": None,
        "calibration": None,
        "labels": None,
        "activations": None,
        "activation_density": None,
        "verify": False,
        "energy_table": None,
        "store": None,
        "grid": {},
        "points": (),
        "search": None,
    }
    assert study('workload = "alex-7"\nactivation_density = 0.3\n[[points]]\n')["points"] == ({},)
    assert study(LEAST + '[search]\nobjectives = ["cycles"]')["search"] == {"objectives": ("cycles",), "trials": None}


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="links as POSIX has them")
def test_a_link_leads_no_study_out_of_its_folder(study, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "out").symlink_to(tmp_path)
    (inner / "link.jsonl").symlink_to(tmp_path / "new.jsonl")
    (inner / "beside.jsonl").symlink_to(inner / "other.jsonl")
    for store, leads_out in [
        ("link.jsonl", True),
        ("out/new.jsonl", True),
        ("beside.jsonl", False),
        ("a.jsonl", False),
    ]:
        (inner / "a.toml").write_text(f'store = "{store}"\n{LEAST}')
        if leads_out:
            with pytest.raises(InputError, match=f"store={store}: must be within the study's folder"):
                read_study(inner / "a.toml")
        else:
            assert read_study(inner / "a.toml")["store"] == str(inner / store)


def test_files_are_beside_the_study_and_words_are_presets(study, tmp_path, monkeypatch):
    for named, expected in [
        ("alex-7", "alex-7"),
        ("net.npz", str(tmp_path / "net.npz")),
        ("nets/net.npz", str(tmp_path / "nets/net.npz")),
        ("/nets/net.npz", "/nets/net.npz"),
    ]:
        assert study(f'workload = "{named}"\n[grid]')["workload"] == expected
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text('workload = "net.npz"\n[grid]')
    assert read_study("a.toml")["workload"] == "net.npz"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "workload=missing"),
        ('workload = "alex-7"', "grid=missing"),
        ('workload = ""\n[grid]', "workload=: must be text"),
        ("workload = 3\n[grid]", "workload=3: must be text"),
        ('gird = 1\nworkload = "alex-7"', "key=gird: unknown; did you mean grid"),
        (LEAST + "n_pes = 3", "[grid] axis=n_pes: unknown; did you mean n_pe"),
        (LEAST + 'n_pe = "1..x"', "[grid] n_pe=1..x: must be"),
        (LEAST + "n_pe = 1.5", "[grid] n_pe=1.5: must be"),
        (LEAST + "n_pe = []", "[grid] n_pe=[]: must be at least one value"),
        (LEAST + "n_pe = {a = 1}", "[grid] n_pe=dict: must be"),
        (LEAST + "n_pe = 2026-01-01", "[grid] n_pe=date: must be"),
        (LEAST + "density = nan", "[grid] density=nan: must be"),
        (LEAST + 'density = "1\\n2"', "[grid] density='1\\n2': must be"),
        ('workload = "alex-7"\ngrid = 3', "grid=3: must be a table"),
        ('workload = "alex-7"\npoints = {n_pe = 1}', "points=dict: must be tables"),
        ('workload = "alex-7"\npoints = [{n_pe = 1}, 2]', "[[points]] 2=2: must be a table"),
        ('workload = "alex-7"\npoints = [{n_pe = "1..3"}]', "[[points]] 1 n_pe=1..3: must be a single value"),
        ('workload = "alex-7"\npoints = [{}, {n_pee = 1}]', "[[points]] 2 axis=n_pee: unknown"),
        ("seed = -1\n" + LEAST, "seed=-1"),
        ("seed = true\n" + LEAST, "seed=True"),
        ("verify = 1\n" + LEAST, "verify=int"),
        ("store = 1\n" + LEAST, "store=1"),
        ("energy_table = [1]\n" + LEAST, "energy_table=list: must be text"),
        ('store = "a\\nb"\n' + LEAST, "store='a\\nb': must be text, not empty, on one line"),
        *((f'store = "{place}"\n' + LEAST, f"store={place}: must be within") for place in ("/x", "../x", "a/../../x")),
        ("activation_density = 2\n" + LEAST, "activation_density=2: must be in 0..1"),
        ('activation_density = 0.5\nactivations = "a.npy"\n' + LEAST, "must be left out beside activations"),
        (LEAST + "[search]", "[search] objectives=list"),
        (LEAST + "[search]\nobjectives = [1]", "[search] objectives=list: must be a list of names"),
        (LEAST + '[search]\nobjectives = ["cycles"]\ntrials = 0', "[search] trials=0: must be"),
        (LEAST + '[search]\nobjective = ["cycles"]', "[search] key=objective: unknown; did you mean objectives"),
        (LEAST + "n_pe = 1\nn_pe = 2", "no TOML: Cannot overwrite a value (at the end, line 4)"),
        (LEAST + "n_pe = 1..3", "at line 3"),
        (LEAST + "n_pe 3", "at line 3"),
        ("a\0b = 1", "at line 1"),
        ("a = " + "9" * 5000, "beyond any bounds"),
        ("a = " + "[" * 5000, "beyond any bounds"),
        (LEAST + ".".join("a" * 5000) + " = 1", "line=3: must have keys of at most 100 parts"),
    ],
    ids=lambda text: repr(text[:40]),
)
def test_what_is_wrong_is_said_in_one_line_with_the_file(study, text, said):
    line = refused(study, text)
    assert line.startswith("study.toml: ") and said in line


def test_a_study_as_large_as_may_be(study):
    assert study(LEAST + "#" * (MAX_STUDY_BYTES - len(LEAST)))["workload"] == "alex-7"


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refused(read_study, tmp_path / "none.toml") == f"study={tmp_path / 'none.toml'}: no such file"
    for path in (tmp_path, tmp_path / "pipe"):
        assert refused(read_study, path) == f"study={path}: must be an ordinary file"
    assert refused(read_study, "a\nb" * 5000).endswith("cannot be read: File name too long")
    for path in ("", "a\0b", 3):
        assert refused(read_study, path).endswith(": must be a path")
    for text, rule in (
        (LEAST.encode() + b"a = 1\n# \xff", "must be UTF-8 text: line 4 is not"),
        (b"#" * (MAX_STUDY_BYTES + 1), "must be at most 1,048,576 bytes"),
    ):
        (tmp_path / "study.toml").write_bytes(text)
        assert refused(read_study, tmp_path / "study.toml") == f"study={tmp_path / 'study.toml'}: {rule}"


@given(st.binary(max_size=60) | st.text('[]{}=."\n,: 0123456789abgridn_pes-+', max_size=60).map(str.encode))
def test_any_bytes_are_a_study_or_one_line(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    for text in (data, LEAST.encode() + data):
        path.write_bytes(text)
        try:
            assert read_study(path)["workload"]
        except InputError as error:
            assert str(error).startswith(("any.toml: ", f"study={path}: must be UTF-8")) and "\n" not in str(error)


def test_inputs_of_a_graph_are_in_a_study(study, tmp_path):
    found = study('workload = "net.onnx"\ninputs = "x.npz"\n[grid]\nn_pe = 4\n[shapes]\nx = [1, 3, 8, 8]')
    assert found["inputs"] == str(tmp_path / "x.npz")
    assert found["shapes"] == {"x": (1, 3, 8, 8)}


@pytest.mark.parametrize("sides", ["3", "[1, 0]", "[1.5]"])
def test_shapes_of_a_graph_are_sides(study, sides):
    with pytest.raises(InputError, match=r"\[shapes\] x=.*: must be a list of sides, as \[1, 3, 224, 224\]"):
        study(f'workload = "net.onnx"\n[grid]\nn_pe = 4\n[shapes]\nx = {sides}')
