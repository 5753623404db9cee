(() => {
  const said = document.createElement("p");
  said.className = "hidden";
  said.setAttribute("aria-live", "polite");
  document.querySelector("main").append(said);
  const sort = (table, head, column) => {
    const falling = head.getAttribute("aria-sort") === "ascending";
    const body = table.tBodies[0];
    const numbers = head.classList.contains("number");
    const value = (row) => numbers ? row.cells[column].dataset.value : row.cells[column].textContent;
    const compare = (a, b) => numbers ? a - b : a.localeCompare(b, undefined, { numeric: true });
    const known = [...body.rows].filter((row) => value(row) !== "");
    const unknown = [...body.rows].filter((row) => value(row) === "");
    known.sort((a, b) => (falling ? -1 : 1) * compare(value(a), value(b)));
    body.append(...known, ...unknown);
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    said.textContent = `Sorted by ${head.textContent}, ${falling ? "highest" : "lowest"} first`;
  };
  for (const table of document.querySelectorAll(".sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head, column));
      head.append(button);
    });
  }
})();
