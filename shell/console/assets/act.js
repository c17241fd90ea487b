// Sends what a page offers to do: a call of the API, as it stands in the form.
"use strict";
(() => {
  const csrf = document.querySelector('meta[name="csrf"]').content;
  const shows = (element, text) => { element.textContent = text; element.hidden = !text; };

  const send = async (path, body, method = "POST") => {
    const answer = await fetch(path, {
      method,
      headers: {
        "muster-csrf": csrf,
        ...(body && { "content-type": "application/json", "idempotency-key": crypto.randomUUID() }),
      },
      body: body && JSON.stringify(body),
    });
    if (answer.status === 401) location.assign("/login");
    const text = await answer.text();
    const told = text && answer.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text;
    if (!answer.ok) throw Object.assign(new Error(told.title), { problem: told });
    return told;
  };

  // Code, cause, and what to do.
  const explain = (error) => {
    const problem = error.problem;
    if (!problem) return "The server cannot be reached. Nothing may have happened; look before you try again.";
    const wrong = (problem.errors ?? []).map((one) => `${one.path} ${one.message}`).join("; ");
    return [problem.title, wrong || problem.detail, problem.help, `(${problem.code})`].filter(Boolean).join(" ");
  };

  const pairs = (text) => Object.fromEntries(text.split(",").map((pair) => pair.trim().split(/=(.*)/s).slice(0, 2)));
  const read = {
    text: (field) => field.value.trim() || undefined,
    number: (field) => (field.value === "" ? undefined : Number(field.value)),
    check: (field) => field.checked || undefined,
    pairs: (field) => (field.value.trim() ? pairs(field.value) : undefined),
  };
  const said = (form) => [...form.elements].filter((field) => field.name && read[field.dataset.type](field) !== undefined);

  const bodyOf = (form) => {
    const body = JSON.parse(form.dataset.body || "{}");
    for (const field of said(form)) body[field.name] = read[field.dataset.type](field);
    return Object.keys(body).length ? body : null;
  };

  // A word of a command as a shell takes it.
  const word = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
  const option = (field) => {
    const name = field.dataset.option;
    if (field.dataset.type === "check") return name;
    const value = field.selectedOptions?.[0]?.dataset.said ?? field.value.trim();
    if (!name) return word(value);
    return (field.dataset.type === "pairs" ? value.split(",") : [value]).map((one) => `${name} ${word(one.trim())}`).join(" ");
  };
  const byHand = (form) => {
    const cli = form.querySelector("[data-cli]");
    cli.textContent = [cli.dataset.cli, ...said(form).map(option)].join(" ");
    const curl = form.querySelector("[data-curl]");
    const body = bodyOf(form);
    const data = body ? ` \\\n  -H 'content-type: application/json' -d ${word(JSON.stringify(body))}` : "";
    curl.textContent = curl.textContent.split(" \\\n  -H 'content-type")[0] + data;
  };

  Object.assign(muster, { send, explain });

  const acted = () => document.body.dispatchEvent(new CustomEvent("acted"));

  const element = (name, text) => Object.assign(document.createElement(name), { textContent: text });

  // What was found in other systems: it is on no page.
  const drift = (form, told) => {
    const found = told.drifted.map((one) => element("li", `${one.account.name}: ${one.found.replaceAll("_", " ")}${one.mended ? ", being brought back" : ""}`));
    const list = document.createElement("ul");
    list.append(...found);
    const more = told.next ? " There are more than one look takes: the command goes through all of them." : "";
    const said = element("p", `${told.looked_at} looked at, ${found.length} not as wanted.${more}`);
    const done = Object.assign(element("button", "Done"), { type: "button", className: "main" });
    done.dataset.reloads = "";
    const answers = Object.assign(document.createElement("div"), { className: "answers" });
    answers.append(done);
    form.replaceChildren(element("h2", "What was found"), said, list, answers);
  };

  // What is given this once stays until the dialog is closed.
  const give = async (form, name, told) => {
    if (name === "drifted") return drift(form, told);
    const given = document.getElementById("given").content.cloneNode(true);
    const invite = name === "invite";
    given.querySelector("[data-secret]").textContent = told[name];
    given.querySelector("[data-command]").textContent = `echo '${told[name]}' | muster agent run --invite-file -`;
    given.querySelector("[data-invite]").hidden = !invite;
    form.replaceChildren(given);
    if (!invite) return;
    const drawn = await fetch("/qr", { method: "POST", headers: { "muster-csrf": csrf, "content-type": "application/json" }, body: JSON.stringify({ text: told[name] }) });
    if (drawn.ok) form.querySelector("[data-qr]").src = `data:image/svg+xml,${encodeURIComponent(await drawn.text())}`;
    wait(form, told.grant.id);
  };

  // Turns green when somebody comes by the grant, or waits for a person because of it.
  const wait = (form, grant) => {
    const [waits, live] = [form.querySelector("[data-waits]"), document.getElementById("live")];
    const heard = async (event) => {
      const topic = event.detail.message.event;
      const kind = { mch: "machines", hld: "holds" }[topic.split("_")[0]];
      if (!form.isConnected) live.removeEventListener("htmx:sse:before:message", heard);
      if (!kind || !topic.includes("_") || !form.isConnected) return;
      const found = await (await fetch(`/v1/${kind}/${topic}`)).json();
      if ((found.grant ?? found.hold?.grant) !== grant) return;
      const link = document.createElement("a");
      link.href = kind === "machines" ? `/machines/${topic}` : "/";
      link.textContent = kind === "machines" ? `${found.name} is in.` : "Somebody came, and waits on the desk.";
      waits.replaceChildren(link);
      waits.classList.toggle("good", kind === "machines");
    };
    live.addEventListener("htmx:sse:before:message", heard);
  };

  document.body.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-path]");
    if (!form) return;
    event.preventDefault();
    const [button, problem] = [form.querySelector('[type="submit"]'), form.querySelector(".problem")];
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    shows(problem, "");
    try {
      const told = await send(form.dataset.path, bodyOf(form), form.dataset.method);
      muster.say(`${button.textContent}: done.`);
      if (form.dataset.gives) {
        await give(form, form.dataset.gives, told);
      } else {
        form.closest("dialog")?.close();
        acted();
      }
    } catch (error) {
      shows(problem, explain(error));
    } finally {
      button.removeAttribute("aria-busy");
    }
  });

  document.body.addEventListener("input", (event) => {
    const form = event.target.closest("form[data-path]");
    if (form) byHand(form);
  });

  document.body.addEventListener("click", (event) => {
    const opens = event.target.closest("[data-opens]");
    if (opens) document.getElementById(opens.dataset.opens).showModal();
    if (event.target.closest("[data-closes]")) event.target.closest("dialog").close();
    if (event.target.closest("[data-reloads]")) location.reload();
    if (event.target.matches("[data-all]")) {
      const boxes = event.target.closest("table").querySelectorAll('[name="pick"]');
      boxes.forEach((box) => { box.checked = event.target.checked; });
    }
  });

  document.getElementById("logout")?.addEventListener("click", async () => {
    await fetch("/v1/session/close", { method: "POST", headers: { "muster-csrf": csrf } });
    location.assign("/login");
  });
})();
