"use strict";

// Every sortable table gets a button in each heading. Cells are compared by their exact values where they have some, as
// numbers or lists of numbers, else as text; empty cells stay last. A second press turns the order around.

const order = new Intl.Collator("en", { numeric: true });

function valueOf(cell) {
  const text = cell.textContent.trim();
  return cell.dataset.value === undefined ? text : JSON.parse(cell.dataset.value);
}

// Numbers, then lists, then words, so that a column of several kinds has one order.
function kindOf(value) {
  return typeof value === "number" ? 0 : Array.isArray(value) ? 1 : 2;
}

function compared(a, b) {
  if (kindOf(a) !== kindOf(b)) return kindOf(a) - kindOf(b);
  if (Array.isArray(a)) {
    const at = a.findIndex((each, i) => each !== b[i]);
    return at < 0 ? 0 : compared(a[at], b[at] ?? -Infinity);
  }
  return typeof a === "number" ? a - b : order.compare(String(a), String(b));
}

function sorted(rows, column, sign) {
  const keyed = rows.map((row) => [valueOf(row.cells[column]), row]);
  const empty = keyed.filter(([value]) => value === "");
  const full = keyed.filter(([value]) => value !== "").sort(([a], [b]) => sign * compared(a, b));
  return [...full, ...empty].map(([, row]) => row);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  for (const [column, head] of heads.entries()) {
    if (head.textContent === "") continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      body.append(...sorted(rows, column, sign));
    });
  }
}
