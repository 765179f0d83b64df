"use strict";
// Sorting: a button in each heading; text that is no number sorts as text, what is missing comes last.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const text = row.cells[column].dataset.value ?? row.cells[column].textContent;
    return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
  };
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of headings) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      rows.sort(([a], [b]) => {
        if (a === "" || b === "") return (a === "") - (b === "");
        if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
        return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}
// Searching: rows whose first cell holds all words stay.
for (const input of document.querySelectorAll("input[type=search]")) {
  const region = input.closest(".search").nextElementSibling;
  const status = input.closest(".search").querySelector("[role=status]");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...region.querySelectorAll("tbody tr")];
    for (const row of rows) row.hidden = !words.every((word) => row.cells[0].textContent.toLowerCase().includes(word));
    const shown = rows.filter((row) => !row.hidden).length;
    status.textContent = words.length ? `${shown} of ${rows.length}` : "";
  });
}
// One sound at a time; "compare" plays the setting itself and then the step from it.
let stop = () => {};
for (const player of document.querySelectorAll("audio")) {
  player.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== player) other.pause();
  });
}
for (const button of document.querySelectorAll("button.compare")) {
  const step = button.closest("li").querySelector("audio");
  const itself = button.closest(".setting").querySelector("audio");
  button.addEventListener("click", () => {
    stop();
    const next = () => { step.currentTime = 0; step.play().catch(stop); };
    stop = () => {
      for (const player of [itself, step]) player.pause();
      itself.removeEventListener("ended", next);
      step.removeEventListener("ended", stop);
      button.setAttribute("aria-pressed", "false");
      stop = () => {};
    };
    button.setAttribute("aria-pressed", "true");
    itself.addEventListener("ended", next, { once: true });
    step.addEventListener("ended", stop, { once: true });
    itself.currentTime = 0;
    itself.play().catch(stop);
  });
}
