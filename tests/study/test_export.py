"""Rows as a frame, Parquet and CSV: every value comes back, and no file is ever half there."""

import csv
import errno
import json
import math
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim import InputError
from eie_sim.study.export import to_pandas, write_csv, write_parquet

ROWS = [
    {"key": "aa", "design": "eie, 64", "cycles": 2**60 + 1, "energy_nj": 0.1, "shape": [64, 64], "error": None},
    {"key": "bb", "design": 'a "b"\nc', "cycles": 5, "fits": True, "shape": [1], "passes": 2},
    {"key": "cc", "error": "out=5: must be 6", "energy_nj": 3.0, "mixed": 1},
    {"key": "dd", "fits": False, "mixed": "é", "passes": None, "huge": 2**70},
]
NAMES = ["key", "design", "cycles", "energy_nj", "shape", "error", "fits", "passes", "mixed", "huge"]


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")


@pytest.fixture
def pyarrow():
    pytest.importorskip("pandas")
    return pytest.importorskip("pyarrow")


def values(frame):
    """Rows of a frame without what is missing, as plain values."""
    columns = {
        name: [
            None if missing else value for value, missing in zip(frame[name].tolist(), frame[name].isna(), strict=True)
        ]
        for name in frame
    }
    return [{name: columns[name][n] for name in frame if columns[name][n] is not None} for n in range(len(frame))]


def plain(rows, as_text=()):
    """What `values` is to give for rows: lists and the columns named `as_text` as text, nothing that is missing."""

    def shown(name, value):
        return (
            json.dumps(value) if isinstance(value, list) or (name in as_text and not isinstance(value, str)) else value
        )

    return [{name: shown(name, value) for name, value in row.items() if value is not None} for row in rows]


def test_a_frame_has_every_value(pandas):
    frame = to_pandas(ROWS)
    assert list(frame) == NAMES
    assert list(frame.index) == [0, 1, 2, 3]
    kinds = {"cycles": "Int64", "energy_nj": "float64", "fits": "boolean", "passes": "Int64"}
    assert {name: str(frame[name].dtype) for name in kinds} == kinds
    assert values(frame) == plain(ROWS, as_text=("mixed", "huge"))


def test_columns_without_gaps_are_plain(pandas):
    frame = to_pandas([{"n": 1, "x": 1, "ok": True}, {"n": 2, "x": 0.5, "ok": False}])
    assert [str(dtype) for dtype in frame.dtypes] == ["int64", "float64", "bool"]


def test_no_count_is_rounded(pandas):
    assert values(to_pandas([{"n": 2**53 + 1}, {"n": 0.5}])) == [{"n": "9007199254740993"}, {"n": "0.5"}]
    assert values(to_pandas([{"n": 2**53}, {"n": 0.5}])) == [{"n": 2.0**53}, {"n": 0.5}]


@pytest.mark.parametrize("rows", [[], [{}], [{"error": None}, {"error": None}]])
def test_nothing_to_show(rows, tmp_path, pyarrow):
    assert values(to_pandas(rows)) == [{}] * len(to_pandas(rows))
    write_parquet(rows, tmp_path / "rows.parquet")
    write_csv(rows, tmp_path / "rows.csv")


VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-5, 5),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
    st.lists(st.integers(-5, 5), max_size=3),
)


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), VALUE), max_size=5))
def test_parquet_reads_back_as_the_frame(tmp_path_factory, rows):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    write_parquet(rows, path)
    read, frame = pandas.read_parquet(path), to_pandas(rows)
    assert list(read) == list(frame)
    assert values(read) == values(frame)
    there = [{name: value for name, value in row.items() if value is not None} for row in rows]
    for found, row in zip(values(frame), there, strict=False):
        assert found.keys() == row.keys()
        for name, value in row.items():
            same = found[name] == value if type(found[name]) is not str else found[name] in (value, json.dumps(value))
            assert same, (name, value, found[name])


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), VALUE, min_size=1), min_size=1, max_size=5))
def test_csv_has_every_value(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    write_csv(rows, path)
    with path.open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    names = list(dict.fromkeys(name for row in rows for name in row))
    assert path.read_text(encoding="utf-8").split("\n")[0] == ",".join(names)
    assert len(read) == len(rows)
    for found, row in zip(read, rows, strict=True):
        for name in names:
            value = row.get(name)
            if isinstance(value, float):
                assert math.copysign(1, float(found[name])) == math.copysign(1, value)
                assert float(found[name]) == value
            else:
                assert found[name] == ("" if value is None else str(value))


def test_a_table_of_pandas_reads_it(pandas, tmp_path):
    path = tmp_path / "rows.csv"
    write_csv(ROWS, path)
    frame = pandas.read_csv(path, dtype={"cycles": "Int64"})
    assert frame["cycles"].tolist()[:2] == [2**60 + 1, 5]
    assert frame["design"].tolist()[:2] == ["eie, 64", 'a "b"\nc']
    assert frame["fits"].tolist()[1] is True


def test_names_of_files_that_are_no_text(tmp_path, pyarrow, pandas):
    rows = [{"network": "n\udcff.npz", "\udcfe": 1, "list": ["\udcff"]}]
    shown = {"network": "n\\udcff.npz", "\\udcfe": 1, "list": '["\\udcff"]'}
    assert values(to_pandas(rows)) == [shown]
    write_parquet(rows, tmp_path / "rows.parquet")
    assert values(pandas.read_parquet(tmp_path / "rows.parquet")) == [shown]
    write_csv(rows, tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_text().startswith("network,\\udcfe,list\nn\\udcff.npz,1,")


def test_the_same_rows_are_the_same_bytes(tmp_path, pyarrow):
    for write, name in ((write_csv, "csv"), (write_parquet, "parquet")):
        paths = [tmp_path / f"{n}.{name}" for n in range(2)]
        for path in paths:
            write(ROWS, path)
        assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("name", ["pandas", "pyarrow"])
def test_a_library_that_is_missing_is_named(name, tmp_path, monkeypatch, request):
    if name == "pyarrow":
        request.getfixturevalue("pandas")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"^{name}: not installed; pip install 'eie-sim\[parquet\]'$"):
        write_parquet(ROWS, tmp_path / "rows.parquet")
    if name == "pandas":
        with pytest.raises(InputError, match=r"^pandas: not installed; pip install 'eie-sim\[pandas\]'$"):
            to_pandas(ROWS)
    write_csv(ROWS, tmp_path / "rows.csv")
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("rows", [5, None, {"key": 1}, [1], [{"key": 1}, None]])
def test_rows_are_dicts(rows, tmp_path):
    with pytest.raises(InputError, match=r"^rows.*must be"):
        write_csv(rows, tmp_path / "rows.csv")
    assert list(tmp_path.iterdir()) == []


def fails(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_file_that_cannot_be_written_stays_as_it_was(step, tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    path.write_text("before")
    monkeypatch.setattr(os, step, fails)
    with pytest.raises(InputError, match=r"^out=.*rows.csv: cannot be written: No space left on device$"):
        write_csv(ROWS, path)
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.csv"]


def test_what_is_no_file_is_not_written_to(tmp_path):
    places = [tmp_path, tmp_path / "missing" / "rows.csv", "", "a\0b", None, 5, "/dev/null", tmp_path / ("x" * 300)]
    for place in places:
        with pytest.raises(InputError, match=r"^out=") as caught:
            write_csv(ROWS, place)
        assert str(caught.value).isprintable()
    (tmp_path / "link.csv").symlink_to("real.csv")
    write_csv(ROWS, tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("key,design,")
