// The editor of an engagement: what would be different is asked for while somebody types, and shown before anything is changed.
"use strict";
(() => {
  const form = document.getElementById("engage");
  const [differs, problem] = [document.getElementById("differs"), form.querySelector(".problem")];
  const save = form.querySelector('[type="submit"]');
  const path = `/v1/machines/${form.dataset.machine}/engagement`;

  const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
  const read = {
    text: (text) => text.trim() || undefined,
    whole: (text) => text.trim(),
    list: lines,
    lines: (text) => (text.trim() ? lines(text) : undefined),
    number: (text) => (text.trim() ? Number(text) : undefined),
    json: (text) => (text.trim() ? JSON.parse(text) : undefined),
  };

  // A name with dots is a place in the body.
  const put = (body, [name, ...below], value) => {
    if (below.length) put((body[name] ??= {}), below, value);
    else body[name] = value;
  };
  const bodyOf = () => {
    const body = { engagement: {} };
    for (const field of form.elements) {
      if (!field.name) continue;
      const value = read[field.dataset.type](field.value);
      if (value !== undefined) put(body, field.name.split("."), value);
    }
    return body;
  };

  const element = (name, text) => Object.assign(document.createElement(name), { textContent: text });
  const part = ({ path, removed, added }) => {
    const line = Object.assign(document.createElement("p"), { className: "part" });
    line.append(element("code", path));
    for (const entry of removed) line.append(" ", element("del", entry));
    for (const entry of added) line.append(" ", element("ins", entry));
    return line;
  };

  const tell = (text) => {
    problem.textContent = text;
    problem.hidden = !text;
  };
  const mark = (error) => {
    for (const field of form.elements) field.removeAttribute("aria-invalid");
    for (const wrong of error?.problem?.errors ?? []) {
      const named = wrong.path.replace(/\[\d+\]$/, "");
      form.elements[named]?.setAttribute("aria-invalid", "true");
    }
  };

  const byHand = (body) => {
    const text = JSON.stringify(body, null, 2);
    form.querySelector("[data-file]").textContent = text;
    form.querySelector("[data-curl]").textContent =
      `curl --cacert ca.pem -H @token.header -X POST \\\n  ${form.dataset.url}${path} \\\n  -H 'content-type: application/json' -d @engagement.json`;
  };

  // Of two questions under way the later one counts.
  let asked = 0;
  const preview = async () => {
    const mine = ++asked;
    save.disabled = true;
    try {
      const body = bodyOf();
      byHand(body);
      const told = await muster.send(`${path}/preview`, body);
      if (mine !== asked) return;
      mark();
      tell("");
      differs.replaceChildren(...(told.differences.length ? told.differences.map(part) : [element("p", "It is so already.")]));
      save.disabled = !told.differences.length;
    } catch (error) {
      if (mine !== asked) return;
      mark(error);
      tell(error instanceof SyntaxError ? `The data is not JSON: ${error.message}` : muster.explain(error));
    }
  };

  let waits = null;
  form.addEventListener("input", () => {
    clearTimeout(waits);
    waits = setTimeout(preview, 250);
  });
  form.addEventListener("reset", () => {
    clearTimeout(waits);
    asked += 1;
    save.disabled = true;
    mark();
    tell("");
    differs.replaceChildren();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    save.disabled = true;
    try {
      await muster.send(path, bodyOf());
      location.reload();
    } catch (error) {
      mark(error);
      tell(muster.explain(error));
      save.disabled = false;
    }
  });
})();
