// The secret is in the fragment, which browsers never send: it reaches the server in a body, this once.
"use strict";

const message = document.getElementById("message");

async function login() {
  const secret = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", "/login");
  if (!secret) {
    message.textContent = "This page needs a login link. On the server's host, type: muster login-link";
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
  message.textContent =
    "This login link was used before or is too old. On the server's host, type: muster login-link";
}

login().catch(() => {
  message.textContent = "The server cannot be reached. Try again.";
});
