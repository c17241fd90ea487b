// Sends what a page offers to do: a call of the API, as it stands in the form.
"use strict";
(() => {
  const csrf = document.querySelector('meta[name="csrf"]').content;

  const send = async (path, body) => {
    const answer = await fetch(path, {
      method: "POST",
      headers: {
        "muster-csrf": csrf,
        ...(body && { "content-type": "application/json" }),
        ...(body && { "idempotency-key": crypto.randomUUID() }),
      },
      body: body && JSON.stringify(body),
    });
    if (answer.status === 401) location.assign("/login");
    const text = await answer.text();
    const told = text ? JSON.parse(text) : {};
    if (!answer.ok) throw Object.assign(new Error(told.title), { problem: told });
    return told;
  };

  // Code, cause, and what to do.
  const explain = (error) => {
    const problem = error.problem;
    if (!problem) return "The server cannot be reached. Nothing may have happened; look before you try again.";
    const wrong = (problem.errors ?? []).map((one) => `${one.field} ${one.message}`).join("; ");
    return [problem.title, problem.detail, wrong, problem.help, `(${problem.code})`].filter(Boolean).join(" ");
  };

  const bodyOf = (form) => {
    const body = JSON.parse(form.dataset.body || "{}");
    for (const field of form.elements) {
      if (field.name && field.value !== "") body[field.name] = field.value;
    }
    return Object.keys(body).length ? body : null;
  };

  const acted = () => document.body.dispatchEvent(new CustomEvent("acted"));

  document.body.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-path]");
    if (!form) return;
    event.preventDefault();
    const [button, problem] = [form.querySelector('[type="submit"]'), form.querySelector(".problem")];
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    problem.hidden = true;
    try {
      await send(form.dataset.path, bodyOf(form));
      form.closest("dialog")?.close();
      muster.say(`${button.textContent}: done.`);
      acted();
    } catch (error) {
      problem.textContent = explain(error);
      problem.hidden = false;
    } finally {
      button.removeAttribute("aria-busy");
    }
  });

  document.body.addEventListener("click", (event) => {
    const opens = event.target.closest("[data-opens]");
    if (opens) document.getElementById(opens.dataset.opens).showModal();
    if (event.target.closest("[data-closes]")) event.target.closest("dialog").close();
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
