"""Run folders are read back as they were written; all else is refused in one line that says what is wrong."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eie_sim
from eie_sim.core.errors import InputError
from eie_sim.report import reading
from eie_sim.report.folder import write_run
from eie_sim.report.page import run as page
from eie_sim.report.page.pictures import Picture
from eie_sim.report.reading import layout, read_run
from eie_sim.report.schema import Each, Maybe, Named, Plain
from eie_sim.units import unit_named


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


def required(shape, value, path=()):
    """Paths of all fields that a shape asks for, down to those without parts, through the first of each list."""
    if isinstance(shape, Maybe):
        return
    if isinstance(shape, Plain):
        yield path
    elif isinstance(shape, Each):
        if value:
            yield from required(shape.shape, value[0], (*path, 0))
    else:
        fields = dict.fromkeys(value, shape.shape) if isinstance(shape, Named) else shape
        for name, each in fields.items():
            yield from required(each, value[name], (*path, name))


def part_of(record, path):
    for name in path:
        record = record[name]
    return record


def test_a_run_is_read_back(tmp_path, record):
    write_run(tmp_path / "run", record)
    assert read_run(tmp_path / "run") == record


def test_every_field_that_is_relied_on_must_be_there_and_of_its_kind(tmp_path, record):
    paths = list(required(layout(unit_named("eie")), record))
    assert len(paths) > 80
    for path in paths:
        *way, last = path
        if way[:1] in (["versions"], ["inputs"]):
            continue
        for damage in ({}, "gone"):
            damaged = json.loads(json.dumps(record))
            if damage == "gone":
                del part_of(damaged, way)[last]
            else:
                part_of(damaged, way)[last] = damage
            line = refused(written(tmp_path / "run", json.dumps(damaged)))
            assert line.startswith("run.json is damaged: ")
            name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
            assert name.lstrip(".") in line or way[:1] in (["config"], ["total"], ["layers"])


def parts(value, path=()):
    """Paths of everything in plain data."""
    yield path
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from parts(part, (*path, name))


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
    assert "must be an ordinary file" in refused(tmp_path)


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "line 1: "),
        ('{"network": ', "line 1: "),
        ("[]", "must be an object"),
        ("3", "must be an object"),
        (b"\xff\xfe", "must be UTF-8"),
        ('{"versions": {"eie_sim": NaN}}', "finite"),
        ("[" * 100_000, "must be JSON"),
        ("1" * 5_000, "must be JSON"),
        ("{}", "versions=none: must be an object"),
        ('{"versions": {"eie_sim": 3}}', "versions.eie_sim=3: must be text"),
    ],
)
def test_what_is_no_record(tmp_path, text, said):
    assert said in refused(written(tmp_path, text))


def test_records_of_other_versions(tmp_path, record):
    major, minor, patch = eie_sim.__version__.split(".")
    record["versions"]["eie_sim"] = f"{major}.{int(minor) + 1}.{patch}"
    line = refused(written(tmp_path, json.dumps(record)))
    assert line == f"made by eie-sim {record['versions']['eie_sim']}, this is {eie_sim.__version__}: run again"
    del record["versions"]["eie_sim"]
    assert "an unknown version" in refused(written(tmp_path, json.dumps(record)))
    record["versions"]["eie_sim"] = "0\u202e.\n" + "9" * 1000
    line = refused(written(tmp_path, json.dumps(record)))
    assert line.isprintable()
    assert len(line) < 300
    record["versions"]["eie_sim"] = f"{major}.{minor}.{int(patch) + 1}"
    assert read_run(written(tmp_path, json.dumps(record))) == record


def test_names_in_a_record_stay_on_the_line(tmp_path, record):
    record["versions"]["a\nb\x1b[31m" + "x" * 1000] = 3
    line = refused(written(tmp_path, json.dumps(record)))
    assert "=3: must be text" in line
    assert line.isprintable()
    assert len(line) < 300


def test_a_record_too_large_is_not_read(tmp_path, record, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", 1000)
    assert "must be at most 1,000 bytes" in refused(written(tmp_path, json.dumps(record)))


def test_a_record_that_contradicts_itself(tmp_path, record):
    record["layers"][0]["verification"]["ok"] = False
    assert "verified=True: must be False" in refused(written(tmp_path, json.dumps(record)))
    record["layers"][0]["verification"]["ok"] = True
    record["config"]["n_pe"] = 0
    assert "config.n_pe=0" in refused(written(tmp_path, json.dumps(record)))
