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
      const code = fields.get("code").trim() || undefined;
      const answer = await ask("/v1/login", { name: fields.get("name"), password: fields.get("password"), code });
      if (answer.ok) {
        location.replace("/");
        return;
      }
      const wait = answer.headers.get("retry-after");
      form.elements.code.value = "";
      if (!wait && (await answer.json()).code === "code_needed") {
        // The password is right and stays: only the code is asked for.
        document.getElementById("code").hidden = false;
        form.elements.code.required = true;
        form.elements.code.focus();
        message.textContent = "Now the code of your authenticator, or a recovery code.";
        return;
      }
      if (!code) form.elements.password.value = "";
      (code ? form.elements.code : form.elements.password).focus();
      message.textContent = wait
        ? `Too many tries. Try again in ${wait} seconds.`
        : code
          ? "Name, password and code do not fit together. A code counts once: wait for the next one."
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
