// What keeps a page true while it is looked at: its colours, its times, and the stream of what has changed.
"use strict";
(() => {
  const root = document.documentElement;
  const theme = localStorage.getItem("theme");
  if (theme) root.dataset.theme = theme;

  const units = [[86400, 3600, "d"], [3600, 60, "h"], [60, 1, "m"]];

  // As the server tells times: a unit from twice its size on, rounded in the next finer one.
  const relative = (seconds) => {
    const size = Math.abs(seconds);
    const [unit, , name] = units.find(([unit, finer]) => size + Math.floor(finer / 2) >= 2 * unit) ?? [1, 1, "s"];
    const text = `${Math.floor((size + Math.floor(unit / 2)) / unit)}${name}`;
    if (seconds === 0) return "now";
    return seconds > 0 ? `in ${text}` : `${text} ago`;
  };

  // Counted from the server's clock as it was when the page came: the one here may be wrong.
  const began = performance.now();
  const clock = () => {
    const served = Number(document.querySelector('meta[name="now"]')?.content ?? Date.now() / 1000);
    return Math.floor(served + (performance.now() - began) / 1000);
  };
  const tick = () => {
    const now = clock();
    for (const time of document.querySelectorAll("time")) {
      const text = relative(Math.floor(Date.parse(time.dateTime) / 1000) - now);
      if (time.textContent !== text) time.textContent = text;
    }
  };

  const say = (text) => {
    const line = document.createElement("p");
    line.textContent = text;
    document.getElementById("said")?.append(line);
    setTimeout(() => line.remove(), 6000);
  };

  const copy = async (element) => {
    await navigator.clipboard.writeText(element.textContent);
    say("Copied.");
  };

  const link = (isLive) => {
    const link = document.getElementById("link");
    if (!link) return;
    link.className = isLive ? "ok" : "lost";
    link.textContent = isLive ? "live" : "not live: trying again";
  };

  // A list is read again with as many rows as it shows by now.
  const reread = () => {
    const list = document.querySelector("[data-live]");
    if (!list || document.hidden) return;
    const address = new URL(location.href);
    const shown = list.querySelectorAll("tbody tr[data-row]").length;
    address.searchParams.set("limit", String(Math.min(1000, Math.max(100, shown))));
    htmx.ajax("GET", address.pathname + address.search, { target: list, select: `#${list.id}`, swap: "outerMorph" });
  };
  let waits = null;
  const soon = () => {
    waits ??= setTimeout(() => { waits = null; reread(); }, 2000);
  };

  document.addEventListener("DOMContentLoaded", () => {
    setInterval(tick, 1000);
    document.body.addEventListener("click", (event) => {
      const copied = event.target.closest("[data-copy]");
      if (copied) copy(copied).catch(() => say("This browser does not let pages copy."));
    });
    document.getElementById("theme")?.addEventListener("click", () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      localStorage.setItem("theme", root.dataset.theme);
    });
    const live = document.getElementById("live");
    live?.addEventListener("machines", soon);
    document.body.addEventListener("acted", soon);
    // What is looked at must not change under a question.
    document.body.addEventListener("htmx:before:request", (event) => {
      const source = event.detail?.ctx?.sourceElement;
      if (source?.id !== "live" && document.querySelector("dialog[open]")) event.preventDefault();
    });
    document.body.addEventListener("htmx:sse:after:connection", () => link(true));
    document.body.addEventListener("htmx:sse:error", () => link(false));
    document.body.addEventListener("htmx:after:swap", tick);
    live?.addEventListener("waiting", (event) => {
      const count = document.getElementById("waiting");
      count.textContent = event.detail.data;
      count.hidden = event.detail.data === "0";
    });
    live?.addEventListener("ended", () => location.assign("/login"));
  });

  window.muster = { say };
})();
