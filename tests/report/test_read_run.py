"""Run folders are read back as they were written; all else is refused in one line that says what is wrong."""

import copy
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.core.verification import Verification
from eie_sim.report import reading
from eie_sim.report.folder import write_run
from eie_sim.report.page import run as page
from eie_sim.report.page.pictures import Picture
from eie_sim.report.reading import read_run


def written(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def refused(folder):
    with pytest.raises(InputError) as error:
        read_run(folder)
    line = str(error.value)
    assert line.startswith(f"run={folder}: ")
    assert "\n" not in line
    return line.removeprefix(f"run={folder}: ")


def part_of(record, path):
    for name in path:
        record = record[name]
    return record


def test_a_run_is_read_back(tmp_path, record):
    write_run(tmp_path / "run", record)
    assert read_run(tmp_path / "run") == record


def parts(value, path=()):
    """Paths of everything in plain data."""
    yield path
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from parts(part, (*path, name))


FREE = {"config", "named", "versions", "inputs", "by_event_pj", "scales", "min", "max", "version", "positions", "limit"}
"""Fields whose names may be any, or that may be missing."""
OPEN = FREE | {field.name for field in msgspec.structs.fields(Verification) if not field.required}


def test_every_field_that_is_relied_on_must_be_there_and_of_its_kind(tmp_path, record):
    paths = [path for path in parts(record) if path and not isinstance(path[-1], int) and not set(path) & OPEN]
    assert len(paths) > 200
    for path in paths:
        *way, last = path
        for damage in ([3], "gone"):
            damaged = json.loads(json.dumps(record))
            if damage == "gone":
                del part_of(damaged, way)[last]
            else:
                part_of(damaged, way)[last] = damage
            assert refused(written(tmp_path / "run", json.dumps(damaged))).startswith("run.json is damaged: "), path


@given(st.data())
def test_no_damage_leads_to_a_traceback(tmp_path_factory, made, data):
    """A record with one part changed is refused in one line, or its page is made."""
    record = json.loads(made)
    *way, last = data.draw(st.sampled_from([path for path in parts(record) if path]))
    values = st.one_of(
        st.sampled_from([None, True, -1, 0, 1e308, -1e308, 10**400, 0.5, "", "<b>", [], {}, [1], {"a": 1}, "gone"]),
        st.sampled_from([part_of(record, path) for path in parts(record)]),
    )
    value = data.draw(values)
    if value == "gone":
        del part_of(record, way)[last]
    else:
        part_of(record, way)[last] = copy.deepcopy(value)
    folder = written(tmp_path_factory.mktemp("run"), json.dumps(record))
    try:
        read = read_run(folder)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        pictures = {name: Picture(name, "", None) for name in ("classes", "energy", "roofline", "storage")}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(page, "run_pictures", lambda record: pictures)
            patch.setattr(Picture, "svg", lambda picture: "")
            assert page.run_page(read).html.endswith("</html>\n")


def test_what_is_no_run_folder(tmp_path):
    assert refused(tmp_path / "none") == "no such folder or file"
    assert "no run.json in it" in refused(tmp_path)
    (tmp_path / "run.json").mkdir()
    with pytest.raises(InputError, match=r"^run=.*/run.json: must be an ordinary file$"):
        read_run(tmp_path)


@pytest.mark.parametrize("name", ["run.json", "layers.csv"])
def test_a_file_of_a_run_that_cannot_be_read(name, tmp_path, record):
    write_run(tmp_path / "run", record)
    path = tmp_path / "run" / name
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=rf"^run=.*/{name}: must be an ordinary file$"):
        read_run(path.parent)
    path.rmdir()
    path.write_bytes(b"\xff\0")
    with pytest.raises(InputError, match=r"^run=.*: (run.json is damaged: must be JSON|of another run than run.json)"):
        read_run(path.parent)


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "must be JSON with finite numbers: Input data was truncated"),
        ('{"network": ', "must be JSON with finite numbers: Input data was truncated"),
        ("[]", "record: expected `object`, got `array`"),
        ("3", "record: expected `object`, got `int`"),
        (b"\xff\xfe", "must be JSON"),
        ('{"version": 2, "seed": NaN}', "must be JSON"),
        ("[" * 100_000, "expected `object`"),
        ("1" * 5_000, "number out of range"),
        ("{}", "made by an eie-sim of record version 1, this one has 2: run again, eie-sim run NETWORK --out "),
        ('{"version": 2}', "record: object missing required field"),
        ('{"version": "2"}', "version: expected `int | null`, got `str`"),
        ('{"version": 2, "inputs": {"a": 3}}', "inputs[...]: expected `str`, got `int`"),
    ],
)
def test_what_is_no_record(tmp_path, text, said):
    assert said in refused(written(tmp_path, text))


def test_records_of_other_versions(tmp_path, record):
    again = f"run again, eie-sim run NETWORK --out {tmp_path}"
    for version in (0, 1, 3, 10**6):
        record["version"] = version
        line = refused(written(tmp_path, json.dumps(record)))
        assert line == f"made by an eie-sim of record version {version or 1}, this one has 2: {again}"
    del record["version"]
    assert "of record version 1" in refused(written(tmp_path, json.dumps(record)))


def test_names_in_a_record_stay_on_the_line(tmp_path, record):
    record["versions"]["a\nb\x1b[31m" + "x" * 1000] = 3
    line = refused(written(tmp_path, json.dumps(record)))
    assert "expected `str`, got `int`" in line
    assert line.isprintable()
    assert len(line) < 300


def test_a_record_too_large_is_not_read(tmp_path, record, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match=r"^run=.*/run.json: must be at most 1,000 bytes$"):
        read_run(written(tmp_path, json.dumps(record)))


def test_a_record_that_contradicts_itself(tmp_path, record):
    for field in ("wrong_weights", "wrong_inputs", "wrong_outputs", "beyond_bound"):
        verification = record["layers"][0]["verification"]
        record["layers"][0]["verification"] = {**verification, field: 3}
        assert "layers[0].verification.ok=True: must be False" in refused(written(tmp_path, json.dumps(record)))
        record["layers"][0]["verification"] = {**verification, field: 3, "ok": False}
        assert "verified=True: must be False" in refused(written(tmp_path, json.dumps(record)))
        record["layers"][0]["verification"] = verification
    record["config"]["n_pe"] = 0
    assert "config.n_pe=0" in refused(written(tmp_path, json.dumps(record)))
