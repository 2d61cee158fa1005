"""HTML made from text: nothing that is named in it becomes part of it, and every number is there exactly."""

import json
from fractions import Fraction
from html.parser import HTMLParser

import jinja2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.html import Cell, card, printable, table, templates

VOID = {"br", "meta", "link"}


class Tree(HTMLParser):
    """Tags with attributes, and text; fails where tags are not closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.texts.append(data)


def cells(*tables):
    return [(tag, attributes) for tag, attributes in Tree(card("x", *tables)).tags if tag == "td"]


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=4), st.text())
def test_no_text_becomes_a_tag(rows, title):
    shown = card(title, table(["a", "b"], rows, foot=[title, ""]), lines=[title], alarms=[title])
    plain = card("x", table(["a", "b"], [["x", "x"] for _ in rows], foot=["x", ""]), lines=["x"], alarms=["x"])
    assert [tag for tag, _ in Tree(shown).tags] == [tag for tag, _ in Tree(plain).tags]
    shown.encode()  # halves of characters, as odd names have, can be written as UTF-8 all the same


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1))
def test_printable_text_is_read_back(name):
    assert Tree(card(name)).texts.count("".join(name)) == 1


def test_what_does_not_print_is_written_out():
    assert printable("a\0b\u202ec\ud800\n") == "a\\x00b\\u202ec\\ud800\n"
    assert "<p>a\\x00 &lt;script&gt;&#39;&#34;&amp; {{ 7 * 7 }}{% x %}</p>" in card(
        "x", lines=["a\0 <script>'\"& {{ 7 * 7 }}{% x %}"]
    )


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.lists(st.integers())))
def test_a_cell_has_its_value_exactly(value):
    ((_, attributes),) = cells(table(["n"], [[Cell("about", value)]]))
    assert json.loads(attributes["data-value"]) == value
    assert attributes["class"] == "number"


def test_numbers_of_numpy_and_fractions_are_as_json_has_them():
    given = [np.float64(0.1), np.int64(-3), Fraction(1, 4)]
    found = cells(table(["a", "b", "c"], [[Cell("x", value) for value in given]]))
    assert [json.loads(attributes["data-value"]) for _, attributes in found] == [0.1, -3, 0.25]


@pytest.mark.parametrize("text", ["'", '"', "' onclick='x", "</td>", "&#39;", "javascript:x"])
def test_a_text_that_stands_for_a_value_stays_in_its_attribute(text):
    ((_, attributes),) = cells(table(["n"], [[Cell("x", [text])]]))
    assert set(attributes) == {"class", "data-value"}
    assert json.loads(attributes["data-value"]) == [text]


def test_columns_of_numbers_are_aligned_and_alarms_marked():
    shown = table(["name", "cycles"], [["fc", Cell("1,000", 1000)], ["no", ""]], foot=["x", Cell("2", 2, True)])
    assert [attributes.get("class") for _, attributes in cells(shown)] == [None, "number"] * 2 + [None, "number alarm"]
    assert [a.get("class") for tag, a in Tree(card("x", shown)).tags if tag == "th"] == [None, "number"]
    assert [attributes.get("class") for _, attributes in cells(table(["a"], [["y" * 50], ["y" * 51]]))] == [
        None,
        "words",
    ]


def test_an_empty_table_has_its_headings():
    shown = card("x", table(["a", "b\nc"], []))
    assert Tree(shown).texts.count("a") == 1
    assert "b<br>c" in shown


def test_a_name_that_a_template_lacks_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        templates().from_string("{{ missing }}").render()
