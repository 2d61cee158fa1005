"""Reports in a browser: nothing on the console, nothing asked of a network, tables that sort, cells as in the JSON."""

import json

import pytest
from browser import CHROMIUM, Browser

from eie_sim.cli import main
from eie_sim.report.folder import write_run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")

TABLE = """[...document.querySelectorAll("h3")].find((each) => each.textContent === "Cycles per vector")
    .nextElementSibling.querySelector("table")"""
ORDER = f"[...({TABLE}).tBodies[0].rows].map((row) => row.cells[0].textContent)"
VALUES = f"[...({TABLE}).tBodies[0].rows].map((row) => row.cells[COLUMN].dataset.value)"
SORTED = f"[...({TABLE}).tHead.rows[0].cells].map((head) => head.getAttribute('aria-sort'))"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def report(made, tmp_path_factory):
    """A report of nine layers whose cycles are neither in order nor, as text, in the order of their numbers."""
    record, folder = json.loads(made), tmp_path_factory.mktemp("run")
    first, layers = record["layers"][0], []
    for at, mean in enumerate([900.5, 1000.0, 9.25, 10.0, 1e6, 8.0, 90.0, 100.0, 99.5]):
        layers.append(first | {"name": f"fc{at}", "cycles_per_vector": {**first["cycles_per_vector"], "mean": mean}})
    record["layers"] = layers
    write_run(folder, record)
    assert main(["report", str(folder)]) == 0
    return folder / "report.html"


def test_a_table_sorts_and_a_cell_is_what_the_json_has(browser, report):
    browser.errors.clear()
    browser.requests.clear()
    browser.open(report)
    layers = json.loads((report.parent / "run.json").read_text())["layers"]
    headings = browser.value(f"[...({TABLE}).tHead.rows[0].cells].map((head) => head.textContent)")
    at = headings.index("cycles")
    means = {layer["name"]: layer["cycles_per_vector"]["mean"] for layer in layers}
    assert [json.loads(text) for text in browser.value(VALUES.replace("COLUMN", str(at)))] == list(means.values())
    assert browser.value(ORDER) == list(means)
    click = f"({TABLE}).tHead.rows[0].cells[{at}].querySelector('button').click()"
    browser.value(click)
    assert browser.value(ORDER) == sorted(means, key=means.get)
    assert browser.value(SORTED) == ["ascending" if column == at else "none" for column in range(len(headings))]
    browser.value(click)
    assert browser.value(ORDER) == sorted(means, key=means.get, reverse=True)
    assert browser.value(SORTED)[at] == "descending"
    assert browser.value(f"({TABLE}).tFoot.rows[0].cells[0].textContent") == "network"
    assert browser.errors == []
    assert set(browser.requests) == {report.as_uri()}


def test_a_table_sorts_by_the_keyboard_alone(browser, report):
    browser.open(report)
    browser.press("Tab", 9)
    assert browser.value("document.activeElement.textContent") == "layer"
    for _ in range(5):
        browser.press("Tab", 9)
    assert browser.value("document.activeElement.textContent") == "cycles"
    browser.press("Enter", 13, "\r")
    assert browser.value(ORDER)[0] == "fc5"


def test_no_script_but_its_own_runs_and_nothing_is_fetched(browser, report):
    """What the policy of the page is there for: the browser says no, and the console tells."""
    browser.open(report)
    browser.value("document.body.insertAdjacentHTML('beforeend', '<img src=x:y onerror=\"window.ran = 1\">')")
    browser.value(
        "const own = document.createElement('script'); own.text = 'window.ran = 1'; document.body.append(own)"
    )
    assert browser.value("window.ran") is None
    browser.ask("Runtime.evaluate", expression="fetch('http://127.0.0.1:9/')", awaitPromise=True)
    assert not [url for url in browser.requests if url.startswith("http")]


@pytest.mark.parametrize("width", [360, 1200])
def test_a_page_is_as_wide_as_its_window(browser, report, width):
    browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    browser.open(report)
    assert browser.value("document.documentElement.scrollWidth") <= width
    browser.ask("Emulation.clearDeviceMetricsOverride")


def test_a_sweep_in_a_browser(browser, ask, swept, tmp_path, undrawn):
    out = tmp_path / "sweep.html"
    assert ask("report", swept, "--out", out)[0] == 0
    browser.errors.clear()
    browser.requests.clear()
    browser.open(out)
    table = "[...document.querySelectorAll('table')].find((each) => each.tBodies[0].rows.length === 49)"
    heads = browser.value(f"[...({table}).tHead.rows[0].cells].map((head) => head.textContent)")
    at = heads.index("cycles")
    browser.value(f"({table}).tHead.rows[0].cells[{at}].querySelector('button').click()")
    values = browser.value(f"[...({table}).tBodies[0].rows].map((row) => row.cells[{at}].dataset.value ?? null)")
    there = [int(value) for value in values if value is not None]
    assert there == sorted(there)
    assert values[len(there) :] == [None] * 12, "what failed has no cycles, and is last"
    assert browser.errors == []
    assert set(browser.requests) == {out.as_uri()}


def test_numbers_lists_and_words_have_one_order_whatever_comes_first(browser, report):
    browser.open(report)
    values = [3, "n/a", -1, "10", 1e5, [2, 1], "9", [1, 5], 0.5]
    expected = [-1, 0.5, 3, 1e5, [1, 5], [2, 1], "9", "10", "n/a"]
    for turned in (values, values[::-1], values[4:] + values[:4]):
        assert browser.value(f"{json.dumps(turned)}.sort(compared)") == expected
