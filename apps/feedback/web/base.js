// What the pages share: talking to the server, who has signed in, dialogs. Whatever people typed
// goes through textContent: never into markup.
"use strict";

const ANSWER_WITHIN_MS = 15_000;
const SESSION_FOR_MS = 30_000; // so long a session that was there is taken to be there still
const TOAST_MS = 3_000;

const $ = (id) => document.getElementById(id);

// An element with attributes and children; strings become text.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// ---- Talking to the server

class Refused extends Error {} // the server answered, and said no
class Away extends Error {} // it did not answer, or could not

// As /auth/session says it. Until that is known nobody may anything.
const session = {
  known: false,
  auth: "off",
  user: null,
  roles: [],
  permissions: new Set(),
  csrf: null,
  register: false,
  providers: [],
  bearer: null, // the operator's key, for as long as the window is open
  at: 0,
};

const may = (permission) => session.permissions.has(permission);

function complaint(answer, body) {
  const reason = typeof body?.reason === "string" ? body.reason : "";
  if (reason) return `${reason[0].toUpperCase()}${reason.slice(1)}.`;
  if (answer.status === 401 && body?.error === "Unauthorized") return "Please sign in first.";
  if (answer.status === 403 && body?.error === "Forbidden") return "You may not do this.";
  if (typeof body?.error === "string") return body.error;
  return `The server answered ${answer.status}.`;
}

async function ask(path, options) {
  const changes = (options.method ?? "GET") !== "GET";
  const headers = { ...options.headers };
  if (session.bearer) headers.Authorization = `Bearer ${session.bearer}`;
  if (changes && session.csrf) headers["X-CSRF-Token"] = session.csrf;
  try {
    return await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN_MS), ...options, headers });
  } catch {
    throw new Away("The server does not answer.");
  }
}

async function read(answer) {
  if (answer.status === 204) return null;
  try {
    return await answer.json();
  } catch {
    if (answer.ok) throw new Away("The answer of the server was cut off.");
    return null;
  }
}

async function call(path, options = {}) {
  let answer = await ask(path, options);
  let body = await read(answer);
  if (answer.status === 403 && /X-CSRF-Token|no session/.test(body?.reason ?? "")) {
    // Signed in again in another tab: the same person's wish goes on with the new token.
    const who = session.user?.id;
    await loadSession();
    if (!session.user || session.user.id !== who)
      throw Object.assign(new Refused("Somebody else has signed in, or you have signed out."), { status: 403 });
    answer = await ask(path, options);
    body = await read(answer);
  }
  if (answer.ok) return { body, headers: answer.headers };
  const said = complaint(answer, body);
  if (answer.status >= 500) throw new Away(said);
  if (answer.status === 401 && session.user && !path.startsWith("/auth/log")) await loadSession();
  const wait = Number(answer.headers.get("Retry-After"));
  const problem = new Refused(answer.status === 429 && wait ? `${said} (${wait} s).` : said);
  throw Object.assign(problem, { status: answer.status, body });
}

const send = (method, path, json, more = {}) =>
  call(path, {
    method,
    headers: json === undefined ? {} : { "Content-Type": "application/json", ...more },
    body: json === undefined ? undefined : JSON.stringify(json),
  });

// ---- Who has signed in

// Tells everybody who listens to "session": detail.changed when it is another person now, or nobody;
// detail.ended when a session is over that nobody here has ended.
function takeSession(body, { left = false } = {}) {
  const before = session.user?.id ?? null;
  const role = session.roles.join();
  const first = !session.known;
  Object.assign(session, {
    known: true,
    auth: body.auth,
    user: body.user,
    roles: body.roles,
    permissions: new Set(body.permissions),
    csrf: body.csrf,
    register: body.register,
    providers: body.providers,
    at: Date.now(),
  });
  const changed = first || before !== (session.user?.id ?? null) || role !== session.roles.join();
  const ended = before !== null && session.user === null && !left;
  document.dispatchEvent(new CustomEvent("session", { detail: { changed, ended } }));
}

async function loadSession(options) {
  try {
    takeSession((await call("/auth/session")).body, options);
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    // an app of a release that knew no people: everybody may write
    const permissions = ["read", "create", "update", "delete"].map((what) => `feedback:${what}`);
    takeSession({ auth: "off", user: null, roles: ["guest"], permissions, csrf: null, register: false, providers: [] });
  }
}

async function keepSession(now = false) {
  const old = session.auth !== "off" && (now || Date.now() - session.at > SESSION_FOR_MS);
  if (!session.known || old) await loadSession();
}

// ---- Drawing

const dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function drawTime(element, text) {
  const when = new Date(text);
  element.dateTime = text;
  element.textContent = Number.isNaN(when.getTime()) ? text : dates.format(when);
  element.title = text;
  return element;
}

let toastTimer;
function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("show");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").classList.remove("show"), TOAST_MS);
}

function busy(button, isBusy) {
  button.disabled = isBusy;
  button.setAttribute("aria-busy", String(isBusy));
}

// A button for what cannot be undone: it is pressed twice, and `what` gets it.
function sureButton(text, name, what) {
  let sure = false;
  const say = (words) => {
    button.textContent = words;
    if (name) button.setAttribute("aria-label", `${words} ${name}`);
  };
  const button = make("button", {
    type: "button",
    class: "btn btn-small btn-quiet delete-btn",
    click: () => {
      if (sure) return what(button);
      sure = true;
      say(`Really ${text[0].toLowerCase()}${text.slice(1)}`);
      return undefined;
    },
    blur: () => {
      sure = false;
      say(text);
    },
  });
  say(text);
  return button;
}

// ---- Dialogs: the browser traps the focus and closes on Esc

const openers = new Map(); // dialog → what had the focus before it opened

function openDialog(dialog, opener) {
  if (dialog.open) return;
  openers.set(dialog, opener ?? document.activeElement);
  dialog.classList.add("active");
  dialog.showModal();
}

function closeDialog(dialog) {
  if (dialog.open) dialog.close();
}

// The browser has given the focus back to what had it, if that is still there. The event comes later:
// whoever went on meanwhile keeps the place. `fallback` gives what to focus when the opener is gone.
function onClosed(dialog, fallback) {
  dialog.classList.remove("active");
  const opener = openers.get(dialog);
  const moved = document.activeElement !== document.body && !dialog.contains(document.activeElement);
  openers.delete(dialog);
  if (moved) return;
  (opener?.isConnected && !opener.closest("[hidden]") ? opener : fallback())?.focus();
}

// `typed`: something would be lost by a press beside the dialog.
function wireDialog(dialog, fallback, typed = () => false) {
  dialog.addEventListener("close", () => onClosed(dialog, fallback));
  for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => closeDialog(dialog));
  // A press that starts and ends on the backdrop closes.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog && !typed()) closeDialog(dialog);
  });
}
