// A plain status page. Everything that came from a machine is put in as text, never as markup.
"use strict";

const EVERY = 2000;
const message = document.getElementById("message");
const facts = document.getElementById("facts");
const table = document.getElementById("machines");
const logout = document.getElementById("logout");

async function get(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (answer.status === 401) throw new Error("Not logged in. On the server's host, type: muster login-link");
  if (!answer.ok) throw new Error("The server answered " + answer.status + ".");
  return answer.json();
}

function cell(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text ?? "–";
  return element;
}

function time(text) {
  return text ? new Date(text).toLocaleString() : null;
}

function showFacts(status) {
  const counts = status.machines;
  const rows = [
    ["Address", status.url],
    ["CA pin", status.ca_pin],
    ["Version", status.version],
    ["Machines", `${counts.active} active, ${counts.online} online, ${counts.pending} pending, ${counts.suspended} suspended, ${counts.retired} retired`],
    ["Waiting for approval", String(status.holds_open)],
    ["Issuing CA ends", time(status.ca_expires)],
  ];
  for (const warning of status.warnings) rows.push(["Warning", warning]);
  facts.replaceChildren(...rows.flatMap(([name, value]) => [cell("dt", name), cell("dd", value)]));
}

function showMachines(page) {
  const rows = page.items.map((machine) => {
    const row = document.createElement("tr");
    const presence = cell("td", machine.online ? "online" : "offline");
    presence.className = machine.online ? "online" : "offline";
    row.append(
      cell("td", machine.name),
      presence,
      cell("td", machine.state),
      cell("td", machine.site),
      cell("td", time(machine.last_seen)),
      cell("td", time(machine.credential_expires)),
    );
    return row;
  });
  table.tBodies[0].replaceChildren(...rows);
}

async function refresh() {
  try {
    const [status, page] = await Promise.all([get("/v1/status"), get("/v1/machines")]);
    showFacts(status);
    showMachines(page);
    for (const element of [facts, table, logout]) element.hidden = false;
    message.textContent = "";
  } catch (error) {
    message.textContent = error.message;
  }
  setTimeout(refresh, EVERY);
}

logout.addEventListener("click", async () => {
  await fetch("/v1/session/close", { method: "POST" });
  location.reload();
});

refresh();
