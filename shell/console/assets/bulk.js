// What is done to all that were chosen: told first, with what would end by it, then done one by one or at once.
"use strict";
(() => {
  const bar = document.getElementById("chosen");
  const dialog = document.getElementById("bulk");
  const part = (name) => dialog.querySelector(`[data-${name}]`);
  const boxes = () => [...document.querySelectorAll('[name="pick"]')];
  const chosen = () => boxes().filter((box) => box.checked).map((box) => box.value);

  const count = () => {
    const many = chosen().length;
    bar.hidden = many === 0;
    bar.querySelector("[data-count]").textContent = `${many} chosen`;
  };

  const kinds = { machines: "machines", certificates: "certificates", bearer_keys: "bearer keys", sessions: "sessions", accounts: "accounts", grants: "grants", holds: "holds", channels: "open channels" };
  const ending = (told) => {
    const some = Object.entries(kinds).filter(([key]) => told.counts[key] > 0);
    return some.length ? `This ends: ${some.map(([key, name]) => `${told.counts[key]} ${name}`).join(", ")}.` : "Nothing changes by this.";
  };

  // An act that ends many is one call, which stops where it would mean others than were told.
  const verb = async (name, ids, reason) => {
    const call = (more) => muster.send("/v1/machines/end", { verb: name, machines: ids, limit: 500, ...(reason && { reason }), ...more });
    if (reason === undefined) return ending(await call({ dry_run: true }));
    const told = await call({ dry_run: true });
    await call({ expect: told.counts.machines });
    return null;
  };

  // The others are a call for each, four at a time.
  const each = async (path, body, ids) => {
    const left = [...ids];
    const failed = [];
    const worker = async () => {
      for (let id = left.shift(); id; id = left.shift()) {
        try {
          await muster.send(path.replace("{id}", id), body);
        } catch (error) {
          failed.push(`${id}: ${muster.explain(error)}`);
        }
        part("effect").textContent = `${ids.length - left.length} of ${ids.length}`;
      }
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    if (failed.length) throw new Error(failed.join("\n"));
  };

  // A command that takes one is written once for each.
  const byHand = (command, ids) =>
    command.includes("{ids}")
      ? `muster ${command.replace("{ids}", ids.join(" "))}`
      : ids.map((id) => `muster ${command.replace("{id}", id)}`).join("\n");

  const open = async (button) => {
    const ids = chosen();
    Object.assign(dialog.dataset, { verb: "", each: "", body: "", ...button.dataset });
    part("title").textContent = `${button.textContent}: ${ids.length} chosen`;
    part("effect").textContent = button.dataset.effect ?? "";
    part("problem").hidden = true;
    part("asks").hidden = !button.dataset.verb;
    part("does").textContent = button.textContent;
    part("cli").textContent = byHand(button.dataset.command, ids);
    dialog.showModal();
    if (button.dataset.verb) part("effect").textContent = await verb(button.dataset.verb, ids);
  };

  const act = async () => {
    const ids = chosen();
    const reason = dialog.querySelector("[name='reason']").value.trim();
    if (dialog.dataset.verb) await verb(dialog.dataset.verb, ids, reason);
    else await each(dialog.dataset.each, dialog.dataset.body ? JSON.parse(dialog.dataset.body) : null, ids);
    muster.say(`${part("does").textContent}: done.`);
    boxes().forEach((box) => { box.checked = false; });
    count();
    dialog.close();
    document.body.dispatchEvent(new CustomEvent("acted"));
  };

  const shown = async (work) => {
    try {
      await work();
    } catch (error) {
      part("problem").textContent = error.problem ? muster.explain(error) : error.message;
      part("problem").hidden = false;
    }
  };

  document.body.addEventListener("change", (event) => {
    if (event.target.matches('[name="pick"], [data-all]')) count();
  });
  document.body.addEventListener("htmx:after:swap", count);
  bar.addEventListener("click", (event) => {
    const button = event.target.closest("[data-command]");
    if (button) shown(() => open(button));
  });
  dialog.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = part("does");
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    await shown(act);
    button.removeAttribute("aria-busy");
  });
})();
