// The console without a mouse.
"use strict";
(() => {
  const rows = () => [...document.querySelectorAll("[data-row]")];
  const dialog = document.getElementById("keys");
  document.getElementById("help")?.addEventListener("click", () => dialog.showModal());

  const step = (by) => {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(document.activeElement?.closest("[data-row]"));
    const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
    all[next].focus();
  };

  const go = (key) => {
    const link = document.querySelector(`nav a[data-key="${CSS.escape(key)}"]`);
    if (link) location.assign(link.href);
  };

  let goes = false;
  const simple = {
    "/": () => document.querySelector("[data-search]")?.focus(),
    "?": () => dialog.showModal(),
    j: () => step(1),
    k: () => step(-1),
    g: () => { goes = true; },
    x: () => document.activeElement?.closest("[data-row]")?.querySelector('[name="pick"]')?.click(),
    Enter: () => document.activeElement?.matches("[data-row]") && document.activeElement.querySelector("a")?.click(),
  };

  document.addEventListener("keydown", (event) => {
    const writes = event.target.closest("input:not([type=checkbox]), textarea, select, dialog");
    if (writes || event.ctrlKey || event.metaKey || event.altKey) return;
    if (goes) {
      goes = false;
      go(event.key);
      return;
    }
    if (!simple[event.key]) return;
    if (event.key === "/") event.preventDefault();
    simple[event.key]();
  });
})();
