// What the fleet did, drawn from the table that tells the same in numbers.
"use strict";
(() => {
  const DAY = 86400;
  const WHOLE = [1, 2, 5].flatMap((n) => Array.from({ length: 9 }, (_, zeros) => n * 10 ** zeros)).sort((a, b) => a - b);
  const TIMES = [300, 900, 1800, 3600, 7200, 10800, 21600, 43200, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY];
  let drawn = [];

  // A number for each stretch, and nothing where nobody noted anything: a line ends there.
  const read = (table) => {
    const [from, until, step] = ["from", "until", "step"].map((name) => Number(table.dataset[name]));
    const known = new Map([...table.tBodies[0].rows].map((row) => [Number(row.dataset.at), row.dataset]));
    const times = [];
    for (let at = from; at < until; at += step) times.push(at);
    const column = (name) => times.map((at) => {
      const text = known.get(at)?.[name];
      return text === undefined ? null : Number(text);
    });
    return { from, until, step, times, column };
  };

  const two = (number) => String(number).padStart(2, "0");
  const day = (at) => new Date(at * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  const hour = (at) => `${two(new Date(at * 1000).getUTCHours())}:${two(new Date(at * 1000).getUTCMinutes())}`;

  const colours = () => {
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => css.getPropertyValue(`--${name}`).trim();
    return Object.fromEntries(["accent", "quiet", "line", "firm", "bad", "ink", "warn"].map((name) => [name, colour(name)]));
  };
  // Colours are six digits after a #: two more tell how much of it.
  const faint = (colour, part) => colour + Math.round(part * 255).toString(16).padStart(2, "0");

  // A point that stands alone is no line.
  const alone = (u, at) => u.data[at].flatMap((value, i, all) => value !== null && (all[i - 1] ?? null) === null && (all[i + 1] ?? null) === null ? [i] : []);

  const axes = (look, { format = String, isLast = true, space = 22 } = {}) => {
    const both = { stroke: look.quiet, font: "12px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: look.line, width: 1 } };
    return [
      { ...both, show: isLast, grid: { show: false }, incrs: TIMES, space: 64, size: 28, gap: 6, values: (_, at, __, ___, by) => at.map((at) => by >= DAY || at % DAY === 0 ? day(at) : hour(at)) },
      { ...both, incrs: WHOLE, space, size: 46, gap: 6, values: (_, values) => values.map((value) => format(value)) },
    ];
  };

  const common = (look, told, tell) => ({
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: "time" }, points: { show: false } },
    padding: [8, 4, 0, 0],
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
    hooks: { setCursor: [(u) => tell(told, u)] },
  });

  const bars = (look, colour) => ({ stroke: colour, fill: colour, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.8, 28], align: 1, radius: 0.15 }) });

  const presence = (data, look, base) => ({
    options: {
      ...base,
      axes: axes(look, { space: 40 }),
      scales: { x: { range: () => [data.from, data.until] }, y: { range: (_, __, most) => [0, Math.max(4, most * 1.12)] } },
      series: [
        {},
        { stroke: look.quiet, width: 1, dash: [4, 4], points: { show: true, size: 4, filter: alone } },
        { stroke: look.accent, width: 2, points: { show: true, size: 6, fill: look.accent, filter: alone } },
        { stroke: faint(look.accent, 0.5), width: 1, fill: faint(look.accent, 0.14), points: { show: false } },
      ],
      bands: [{ series: [2, 3], fill: faint(look.accent, 0.3) }],
    },
    values: [data.times, data.column("machines"), data.column("most"), data.column("least")],
    says: ([, machines, most, least]) => most === null ? "nobody looked" : `${least === most ? most : `${least} to ${most}`} online of ${machines}`,
  });

  const coming = (data, look, base) => ({
    options: {
      ...base,
      axes: axes(look, { format: (value) => Math.abs(value), isLast: false }),
      scales: { x: { range: () => [data.from, data.until] }, y: { range: (_, least, most) => [Math.min(0, least * 1.15), Math.max(2, most * 1.15)] } },
      series: [{}, bars(look, look.accent), bars(look, look.warn)],
    },
    values: [data.times, data.column("in"), data.column("out").map((value) => value === null ? null : -value)],
    says: ([, came, went]) => came === null ? "nobody looked" : `${came} let in, ${Math.abs(went)} ended`,
  });

  const refused = (data, look, base) => ({
    options: {
      ...base,
      axes: axes(look),
      scales: { x: { range: () => [data.from, data.until] }, y: { range: (_, __, most) => [0, Math.max(2, most * 1.15)] } },
      series: [{}, bars(look, look.bad)],
    },
    values: [data.times, data.column("no")],
    says: ([, refused]) => refused === null ? "nobody looked" : `${refused} refused`,
  });

  const kinds = { presence, coming, refused };

  const sizes = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      const chart = drawn.find((chart) => chart.root.parentElement === target);
      if (chart && target.clientWidth && chart.width !== target.clientWidth) chart.setSize({ width: target.clientWidth, height: target.clientHeight });
    }
  });

  const one = (place, data, look) => {
    const told = document.createElement("p");
    told.className = "reading";
    const tell = (told, u) => {
      const at = u.cursor.idx;
      const isOver = at !== null && at !== undefined && u.cursor.left >= 0;
      told.textContent = isOver ? `${day(data.times[at])} ${hour(data.times[at])}  ${chart.says(u.data.map((column) => column[at]))}` : "";
    };
    const chart = kinds[place.dataset.chart](data, look, common(look, told, tell));
    const size = { width: place.clientWidth, height: place.clientHeight };
    place.replaceChildren();
    drawn.push(new uPlot({ ...chart.options, ...size }, chart.values, place));
    place.append(told);
    sizes.observe(place);
  };

  const draw = () => {
    drawn.forEach((chart) => chart.destroy());
    drawn = [];
    sizes.disconnect();
    const table = document.getElementById("pulses");
    if (!table) return;
    const [data, look] = [read(table), colours()];
    document.querySelectorAll("[data-chart]").forEach((place) => one(place, data, look));
  };

  document.addEventListener("DOMContentLoaded", () => {
    draw();
    document.body.addEventListener("htmx:after:swap", draw);
    new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  });
})();
