// Administration: jobs, people, the audit log, mail. base.js comes before it.
"use strict";

const MAIL_WITHIN_MS = 120_000; // a mail server may take its time

const views = ["jobs", "people", "audit", "mail"];

function problem(error) {
  $("problem").textContent = error ? error.message : "";
}

// Runs what a button stands for; what goes wrong is told above.
async function act(button, what) {
  problem(null);
  if (button) busy(button, true);
  try {
    return await what();
  } catch (error) {
    problem(error);
    return undefined;
  } finally {
    if (button) busy(button, false);
  }
}

const cell = (...children) => make("td", {}, ...children);
const when = (text) => (text ? drawTime(make("time"), text) : "–");

const plain = (text, name, click) =>
  make("button", { type: "button", class: "btn btn-small btn-quiet", "aria-label": `${text} ${name}`, click: (event) => act(event.currentTarget, click) }, text);

// A list that is asked for in parts: `path(before)` gives { rows, next }, `draw` a row of the table.
function list(name, fetchPart, draw) {
  const rows = $(`${name}-rows`);
  const more = $(`${name}-more`);
  let asked = 0;
  let next = null;
  async function load(before = null) {
    const mine = ++asked;
    const part = await fetchPart(before);
    if (mine !== asked) return; // another list was asked for meanwhile
    next = part.next;
    const drawn = part.rows.map(draw);
    if (!before && drawn.length === 0) drawn.push(make("tr", {}, make("td", { colspan: 6, class: "quiet" }, "There is none.")));
    if (before) rows.append(...drawn);
    else rows.replaceChildren(...drawn);
    more.hidden = !next;
    if (before) drawn[0]?.querySelector("button, select")?.focus();
  }
  more.addEventListener("click", () => act(more, () => load(next)));
  return () => load();
}

const query = (values) => {
  const asked = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
  return asked.size ? `?${asked}` : "";
};

// ---- Jobs

const jobsFilter = () => ({ state: $("jobs-state").value, queue: $("jobs-queue").value.trim() });

function drawJob(job) {
  const name = `job ${job.id}`;
  const ended = job.state === "dead" || job.state === "done";
  return make("tr", {},
    make("th", { scope: "row" },
      `#${job.id} `, make("span", {}, job.kind),
      make("details", {}, make("summary", {}, job.queue), make("pre", {}, JSON.stringify(job.args, null, 1)))),
    cell(make("span", { class: `state state-${job.state}` }, job.state)),
    cell(`${job.attempt}${job.attempts_max ? ` of ${job.attempts_max}` : ""}`),
    cell(when(job.created_at)),
    cell(make("span", { class: "error-text" }, job.error ?? "")),
    cell(make("div", { class: "actions" },
      ended || job.state === "retryable" ? plain("Retry", name, async () => {
        await send("POST", `/admin/jobs/${job.id}/retry`);
        toast(`Job ${job.id} is tried again`);
        await loadJobs();
      }) : null,
      job.state === "running" ? null : sureButton("Delete", name, (button) => act(button, async () => {
        await send("DELETE", `/admin/jobs/${job.id}`);
        toast(`Job ${job.id} is deleted`);
        await loadJobs();
      })))));
}

const showJobs = list("jobs", async (before) => {
  const { body } = await call(`/admin/jobs${query({ ...jobsFilter(), limit: 50, before })}`);
  return { rows: body.jobs, next: body.next };
}, drawJob);

async function loadJobs() {
  const { state } = jobsFilter();
  const { body } = await call("/admin/jobs/stats");
  $("jobs-depths").textContent = body.queues.map(({ queue, state: of, jobs }) => `${queue}: ${jobs} ${of}`).join(" · ") || "No jobs.";
  const all = (what) => `${what} all that are ${state}`;
  const each = (path, method, said) => (button) => act(button, async () => {
    const { body: done } = await send(method, path + query(jobsFilter()));
    toast(`${done.retried ?? done.deleted} ${said}`);
    await loadJobs();
  });
  $("jobs-all").replaceChildren(...(state === "dead" || state === "done" ? [
    ...(state === "dead" ? [sureButton(all("Retry"), "", each("/admin/jobs/retry", "POST", "are tried again"))] : []),
    sureButton(all("Delete"), "", each("/admin/jobs", "DELETE", "are deleted")),
  ] : []));
  await showJobs();
}

// ---- People

function drawUser(user) {
  const change = (body, said) => async () => {
    await send("PUT", `/admin/users/${user.id}`, body);
    toast(`${user.email}: ${said}`);
    await loadPeople();
  };
  const self = user.id === session.user?.id; // nobody takes a role, or access, from himself
  const role = make("select", { "aria-label": `Role of ${user.email}`, disabled: self },
    ...["guest", "user", "admin"].map((name) => make("option", { selected: name === user.role }, name)));
  role.addEventListener("change", async () => {
    const done = await act(role, async () => {
      await change({ role: role.value }, `is ${role.value} now`)();
      return true;
    });
    if (!done) role.value = user.role;
  });
  return make("tr", {},
    make("th", { scope: "row" }, user.email, user.disabled ? make("span", { class: "state state-dead" }, "disabled") : null),
    cell(role),
    cell(user.totp ? "on" : "off"),
    cell(when(user.created_at)),
    cell(make("div", { class: "actions" },
      self ? null
        : user.disabled ? plain("Enable", user.email, change({ disabled: false }, "may sign in again"))
        : sureButton("Disable", user.email, (button) => act(button, change({ disabled: true }, "may not sign in any more"))),
      user.totp ? sureButton("Second factor off", user.email, (button) => act(button, change({ totp: false }, "signs in without a code"))) : null)));
}

const loadPeople = list("people", async (before) => {
  const limit = 100;
  const { body } = await call(`/admin/users${query({ limit, before })}`);
  return { rows: body, next: body.length === limit ? body.at(-1).id : null };
}, drawUser);

// ---- The audit log

const drawEntry = (entry) =>
  make("tr", {},
    cell(when(entry.at)),
    make("th", { scope: "row" }, entry.name || "–", entry.via ? make("span", { class: "quiet" }, ` by ${entry.via}`) : null),
    cell(entry.action),
    cell(entry.object, entry.detail ? make("div", { class: "quiet" }, entry.detail) : null),
    cell(entry.address),
    cell(make("code", {}, entry.request_id)));

const loadAudit = list("audit", async (before) => {
  const { body } = await call(`/admin/audit${query({ limit: 100, before })}`);
  return { rows: body.entries, next: body.next };
}, drawEntry);

// ---- Mail

async function sendMail(event) {
  event.preventDefault();
  $("mail-result").textContent = "";
  $("mail-dialogue").hidden = true;
  await act($("mail-btn"), async () => {
    const { body } = await call("/admin/mail/test", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ to: $("mail-to").value.trim() }),
      signal: AbortSignal.timeout(MAIL_WITHIN_MS),
    });
    $("mail-result").textContent = body.ok ? "The server has taken the mail." : `It was not sent: ${body.error}`;
    $("mail-result").className = body.ok ? "" : "form-error";
    $("mail-dialogue").textContent = body.dialogue;
    $("mail-dialogue").hidden = !body.dialogue;
  });
}

// ---- Which view, and who may see it

const load = { jobs: loadJobs, people: loadPeople, audit: loadAudit, mail: () => {} };
const needs = (name) => document.querySelector(`[href="#${name}"]`).dataset.needs;

function show(byHand = false) {
  const allowed = views.filter((name) => may(needs(name)));
  const wanted = location.hash.slice(1);
  const chosen = allowed.includes(wanted) ? wanted : allowed[0];
  $("closed").hidden = allowed.length > 0;
  $("views").hidden = allowed.length === 0;
  $("who").textContent = session.user?.email ?? (session.bearer && allowed.length ? "operator" : "");
  for (const name of views) {
    const link = document.querySelector(`[href="#${name}"]`);
    $(`${name}-view`).hidden = name !== chosen;
    link.hidden = !allowed.includes(name);
    if (name === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!chosen) return;
  if (byHand) $(`${chosen}-title`).focus();
  act(null, load[chosen]);
}

async function showKey(event) {
  event.preventDefault();
  await act(null, async () => {
    session.bearer = $("operator-key").value.trim();
    await loadSession().catch((error) => {
      if (error.status !== 401) throw error;
    });
    if (!views.some((name) => may(needs(name)))) {
      session.bearer = null;
      throw new Refused("This is not the operator's key, or there is none.");
    }
    $("operator-key").value = "";
  });
}

$("key-form").addEventListener("submit", showKey);
$("jobs-form").addEventListener("submit", (event) => {
  event.preventDefault();
  act(null, loadJobs);
});
$("jobs-state").addEventListener("change", () => act(null, loadJobs));
$("people-form").addEventListener("submit", (event) => {
  event.preventDefault();
  act(event.submitter, async () => {
    const password = $("people-password").value;
    await send("POST", "/admin/users", { email: $("people-email").value.trim(), role: $("people-role").value, ...(password && { password }) });
    toast(`${$("people-email").value.trim()} is added`);
    event.target.reset();
    await loadPeople();
  });
});
$("mail-form").addEventListener("submit", sendMail);
window.addEventListener("hashchange", () => show(true));
window.addEventListener("focus", () => act(null, () => keepSession(true)));
document.addEventListener("session", ({ detail }) => {
  if (detail.ended) problem(new Refused("Your session has ended."));
  if (detail.changed || detail.ended) show();
});
act(null, loadSession);
