// A term of those that the page teaches goes into the search, with what is to be typed over chosen.
"use strict";
(() => {
  const box = document.querySelector("[data-search]");
  document.addEventListener("click", (event) => {
    const term = event.target.closest("[data-term]")?.dataset.term;
    if (!term) return;
    const before = box.value.trimEnd();
    box.value = before ? `${before} ${term}` : term;
    box.focus();
    box.setSelectionRange(box.value.length - term.length + term.indexOf(":") + 1, box.value.length);
    box.dispatchEvent(new Event("input", { bubbles: true }));
  });
})();
