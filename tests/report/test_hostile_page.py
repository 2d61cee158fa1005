"""Texts of a record, of a store and of a unit's words stay texts on a page, whatever is in them."""

import pytest
from reports import Read

from eie_sim.report.network import Column, Section, sections
from eie_sim.report.page import run as page
from eie_sim.report.page.pictures import Picture
from eie_sim.report.page.run import run_page
from eie_sim.report.page.sweep import sweep_page
from eie_sim.study import read_store
from eie_sim.study.reading import Stored

HOSTILE = [
    *("<script>alert(1)</script>", "</title></style></script><b>", "' onclick='alert(1)", '" onclick="alert(1)'),
    *("{{ 7 * 7 }}", "{% include 'style.css' %}", "{# gone", "javascript:alert(1)", "&lt;b&gt;", "<!--", "]]>"),
]
pytestmark = [pytest.mark.usefixtures("undrawn"), pytest.mark.parametrize("text", HOSTILE)]


def filled(value, text):
    """Plain data with every text in it replaced, but for its unit's name, which is looked up."""
    if isinstance(value, dict):
        return {name: each if name == "unit" else filled(each, text) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, text) for each in value]
    return text if isinstance(value, str) else value


def run_html(record, text, patch):
    """The page of a run whose every text is hostile, by a unit whose words are."""
    given = filled(record, text)
    given |= {"versions": {text: text}, "warnings": [text], "differs": [text], "verified": False}
    given |= {"not_simulated": [{"name": text, "reason": text}]}
    given["layers"][0]["verification"]["ok"] = given["layers"][0]["fits"] = given["total"]["fits"] = False
    named = Section(text, [Column(text, lambda row: text), Column(f"{text}\n{text}", lambda row: 1.5, str)], True)
    patch.setattr(page, "sections", lambda record: {**sections(record), "named": named})
    pictures = {name: Picture(text, text, None) for name in ("classes", "energy", "roofline", "storage")}
    patch.setattr(page, "run_pictures", lambda record: pictures)
    return run_page(given).html


def sweep_html(swept, text):
    more = {"workload": text, "rounding": text, "config_hash": text, "energy_table": text}
    rows = [
        {**row, **more, "layer": f"{text}{at % 2}", **{name: text for name in ("misfit", "error") if row.get(name)}}
        for at, row in enumerate(read_store(swept).rows)
    ]
    return sweep_page(Stored(rows, 3), text).html


def same_tags(hostile, harmless):
    """The page as it is read, of which nothing became a tag or an attribute."""
    page, plain = Read(hostile), Read(harmless)
    assert [(tag, list(attributes)) for tag, attributes in page.tags] == [
        (tag, list(attributes)) for tag, attributes in plain.tags
    ]
    assert page.scripts == plain.scripts
    return page


def test_no_text_of_a_run_or_of_its_units_words_becomes_part_of_the_page(record, text, monkeypatch):
    read = same_tags(run_html(record, text, monkeypatch), run_html(record, "x" * len(text), monkeypatch))
    assert read.text.count(text) > 40
    assert f"differs: {text}" in read.alarms and f"warning: {text}" in read.alarms
    headings, first, *_ = read.tables[text]
    assert [cell.text for cell in headings] == ["layer", text, text * 2]
    assert [cell.text for cell in first] == [f"{text}, does not fit, NOT VERIFIED", text, "1.5"]
    assert [cell.text for cell in read.tables["Versions"][1]] == [text, text]


def test_no_text_of_a_sweep_becomes_part_of_the_page(swept, text):
    read = same_tags(sweep_html(swept, text), sweep_html(swept, "x" * len(text)))
    assert read.tables["Failures"][1][0].text == text
    assert read.tables["All points"][1][0].text in (f"{text}0", f"{text}1")
    assert f"rows in {text}; " in read.text or f"rows in {text}\n" in read.text
    assert [row[1].text for row in read.tables["The same in all rows"][1:] if row[0].text == "rounding"] == [text]
