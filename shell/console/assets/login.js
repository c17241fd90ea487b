// The secret of a link is in the fragment, which browsers never send: it reaches the server in a body, this once. Without
// one, name and password are asked for; they go in a body as well.
"use strict";
(() => {
  const message = document.getElementById("message");
  const form = document.getElementById("login");
  const explain = (text) => {
    message.textContent = text;
    document.getElementById("command").hidden = false;
    form.hidden = false;
  };

  const ask = (path, body) => fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = new FormData(form);
    try {
      const answer = await ask("/v1/login", { name: fields.get("name"), password: fields.get("password") });
      if (answer.ok) {
        location.replace("/");
        return;
      }
      form.elements.password.value = "";
      const wait = answer.headers.get("retry-after");
      message.textContent = wait
        ? `Too many tries. Try again in ${wait} seconds.`
        : "Name and password do not fit, or this operator has no password. A login link lets you in:";
    } catch {
      message.textContent = "The server cannot be reached. Try again.";
    }
  });

  const login = async () => {
    const secret = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", "/login");
    if (!secret) {
      explain("Log in, or open a login link. For one, on the server's own host, type:");
      return;
    }
    const answer = await ask("/v1/session", { login: secret });
    if (answer.ok) {
      location.replace("/");
      return;
    }
    explain("This login link was used before, or is too old. For another one, on the server's own host, type:");
  };

  const tried = () => login().catch(() => {
    message.textContent = "The server cannot be reached. Try again.";
  });
  // A link that is opened where this page is open already loads nothing anew.
  addEventListener("hashchange", tried);
  tried();
})();
