"""Runs and sweeps that reports are made of, and what is in a report."""

import json
from html.parser import HTMLParser
from typing import NamedTuple

VOID = {"br", "meta", "link"}


class Cell(NamedTuple):
    text: str
    value: object
    classes: str


class Read(HTMLParser):
    """A page: its tags in order, text outside of scripts, headings, and tables by the heading before each."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text, self.tables, self.facts, self.scripts = [], [], "", {}, {}, []
        self.heading, self.name, self.alarms = "", "", []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.classes = attributes.get("class") or ""
        if tag in VOID:
            return
        self.open.append(tag)
        if tag in ("h2", "h3"):
            self.heading = ""
        elif tag == "table":
            self.rows = self.tables.setdefault(self.heading, [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            value = attributes.get("data-value")
            self.rows[-1].append(Cell("", None if value is None else json.loads(value), self.classes))
        elif tag == "dd":
            value = attributes.get("data-value")
            self.facts[self.name] = Cell("", None if value is None else json.loads(value), self.classes)
        elif tag == "dt":
            self.name = ""

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.scripts.append(data)
        if inside in ("script", "style"):
            return
        self.text += data
        if inside in ("th", "td"):
            cell = self.rows[-1][-1]
            self.rows[-1][-1] = cell._replace(text=cell.text + data)
        elif inside in ("h2", "h3"):
            self.heading += data
        elif inside == "dd":
            self.facts[self.name] = self.facts[self.name]._replace(text=data)
        elif inside == "dt":
            self.name += data
        elif inside == "p" and self.classes == "alarm":
            self.alarms.append(data)


def column(table, heading):
    """Cells of a column, below its heading."""
    at = [cell.text for cell in table[0]].index(heading)
    return [row[at] for row in table[1:]]
