// Tables and figures that scroll sideways can be reached by keyboard. Long ones have a field that filters their rows, and heads that sort by a
// column. Without this script they are plain tables.
"use strict";
document.querySelectorAll(".bd-article :is(table, div.math, figure.s5lib-figure, figure.s5lib-explore)").forEach((box) => {
  if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
});
document.querySelectorAll("table.s5lib-table").forEach((table) => {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const bar = document.createElement("p"), count = document.createElement("span");
  bar.innerHTML = '<label>Show rows with <input type="search" size="20"></label> ';
  bar.append(count);
  table.before(bar);
  const field = bar.querySelector("input");

  function filter() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  }

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.ariaSort === "ascending", text = (row) => row.cells[column].textContent.trim();
      for (const other of heads) other.ariaSort = null;
      head.ariaSort = down ? "descending" : "ascending";
      const number = rows.some((row) => text(row)) && rows.every((row) => !Number.isNaN(Number(text(row))));
      const order = number ? (a, b) => Number(text(a)) - Number(text(b)) : (a, b) => text(a).localeCompare(text(b));
      rows.sort((a, b) => (down ? order(b, a) : order(a, b)));
      body.append(...rows);
    });
  });
  field.addEventListener("input", filter);
  filter();
});
