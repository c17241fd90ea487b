// The secret is in the fragment, which browsers never send: it reaches the server in a body, this once.
"use strict";
(() => {
  const message = document.getElementById("message");
  const explain = (text) => {
    message.textContent = text;
    document.getElementById("command").hidden = false;
  };

  const login = async () => {
    const secret = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", "/login");
    if (!secret) {
      explain("This page needs a login link. On the server's own host, type:");
      return;
    }
    const answer = await fetch("/v1/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ login: secret }),
    });
    if (answer.ok) {
      location.replace("/");
      return;
    }
    explain("This login link was used before, or is too old. For another one, on the server's own host, type:");
  };

  login().catch(() => {
    message.textContent = "The server cannot be reached. Try again.";
  });
})();
