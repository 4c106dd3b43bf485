// Questions that answer back. Each option is a <details> whose text is the answer to it, so all of it works without this script;
// the script keeps one option open at a time, and remembers in this browser alone which questions were answered rightly.
"use strict";
(() => {
  const KEY = "s5lib-questions", page = location.pathname.split("/").pop();

  /** What was answered: {page: {right: [numbers of questions], of: how many there are}}; empty where nothing may be stored. */
  function known() {
    try {
      return JSON.parse(localStorage.getItem(KEY)) || {};
    } catch {
      return {};
    }
  }

  function remember(question, of) {
    const all = known(), right = new Set(all[page]?.right);
    if (question !== null) right.add(question);
    all[page] = { right: [...right], of };
    try {
      localStorage.setItem(KEY, JSON.stringify(all));
    } catch {} // a browser that stores nothing forgets
    mark(all);
  }

  /** Beside each chapter's name in the list of pages: how many of its questions were answered. */
  function mark(all) {
    document.querySelectorAll("nav.bd-links a.reference").forEach((link) => {
      const found = all[new URL(link.href).pathname.split("/").pop()];
      if (!found || !found.right.length) return;
      const note = link.querySelector(".s5lib-progress") || link.appendChild(document.createElement("span"));
      note.className = "s5lib-progress";
      note.textContent = found.right.length === found.of ? "✓" : `${found.right.length}/${found.of}`;
      note.title = `${found.right.length} of ${found.of} questions answered`;
    });
  }

  const asks = [...document.querySelectorAll(".s5lib-ask")];
  asks.forEach((ask, question) => {
    const options = [...ask.querySelectorAll("details")];
    if (known()[page]?.right.includes(question)) ask.dataset.answered = "";
    for (const option of options)
      option.addEventListener("toggle", () => {
        if (!option.open) return;
        for (const other of options) if (other !== option) other.open = false;
        if (option.classList.contains("right")) {
          ask.dataset.answered = "";
          remember(question, asks.length);
        }
      });
  });
  if (asks.length) remember(null, asks.length);
  else mark(known());
})();
