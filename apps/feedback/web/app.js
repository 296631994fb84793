// The page of the Feedback App. Everything users typed goes through textContent: never into markup.
"use strict";

const API = "/feedback";
const LIMIT = 500; // characters, counted as code points like the server does
const PAGE_SIZE = 50;
const HEALTH_EVERY_MS = 30_000;
const LIST_EVERY_MS = 15_000;
const TOAST_MS = 3_000;
const ANSWER_WITHIN_MS = 15_000;

const $ = (id) => document.getElementById(id);
const view = {
  health: $("health-status"),
  banner: $("away-banner"),
  bannerText: document.querySelector(".banner-text"),
  count: $("feedback-count"),
  countLabel: $("feedback-count-label"),
  refresh: $("refresh-btn"),
  list: $("feedback-list"),
  empty: $("empty-state"),
  loading: $("loading-state"),
  more: $("load-more-btn"),
  modal: $("feedback-modal"),
  title: $("modal-title"),
  form: $("feedback-form"),
  id: $("feedback-id"),
  message: $("feedback-message"),
  error: $("form-error"),
  chars: $("char-count"),
  charLine: $("char-line"),
  submit: $("submit-btn"),
  deleteModal: $("delete-modal"),
  deleteForm: $("delete-form"),
  deleteText: $("delete-text"),
  deleteError: $("delete-error"),
  confirm: $("confirm-delete-btn"),
  toast: $("toast"),
  template: $("card-template"),
};

const state = {
  items: [], // newest first, as shown
  total: 0,
  more: false, // older ones exist
  loaded: false,
  asked: 0, // number of the newest list request: older answers are thrown away
  deleting: null,
  opener: null, // what had the focus before a dialog opened
  draft: { text: null, key: "" }, // what was sent last from the open dialog, and under which key
};

// ---- Talking to the server

class Refused extends Error {} // the server answered, and said no
class Away extends Error {} // it did not answer, or could not

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN_MS), ...options });
  } catch {
    throw new Away("The server does not answer.");
  }
  let body = null;
  try {
    body = await answer.json();
  } catch {
    if (answer.ok) throw new Away("The answer of the server was cut off.");
  }
  const said = typeof body?.error === "string" ? body.error : `The server answered ${answer.status}.`;
  if (answer.status >= 500) throw new Away(said);
  if (!answer.ok) throw Object.assign(new Refused(said), { status: answer.status });
  return { body, headers: answer.headers };
}

const send = (method, path, message, more = {}) =>
  call(path, {
    method,
    headers: message === undefined ? {} : { "Content-Type": "application/json", ...more },
    body: message === undefined ? undefined : JSON.stringify({ message }),
  });

// The same text sent again from the same dialog is the same wish: the server makes it once, and so
// the edge may ask another replica when one dies without an answer.
function draftKey(text) {
  if (state.draft.text !== text)
    state.draft = { text, key: [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("") };
  return { "Idempotency-Key": state.draft.key };
}

async function fetchPage(before, limit) {
  const { body, headers } = await call(`${API}?limit=${limit}${before ? `&before=${before}` : ""}`);
  if (!Array.isArray(body)) throw new Away("The answer of the server was not a list.");
  return {
    items: body,
    total: Number(headers.get("X-Total-Count") ?? body.length),
    more: /rel="next"/.test(headers.get("Link") ?? ""),
  };
}

// ---- Drawing

const dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function drawTime(element, text) {
  const when = new Date(text);
  element.dateTime = text;
  element.textContent = Number.isNaN(when.getTime()) ? text : dates.format(when);
  element.title = text;
}

function drawCard(item) {
  const card = view.template.content.firstElementChild.cloneNode(true);
  card.dataset.id = item.id;
  card.dataset.version = item.updated_at;
  card.setAttribute("aria-label", `Feedback ${item.id}`);
  card.querySelector(".feedback-id").textContent = `#${item.id}`;
  card.querySelector(".feedback-message").textContent = item.message;
  drawTime(card.querySelector(".created"), item.created_at);
  drawTime(card.querySelector(".updated"), item.updated_at);
  card.querySelector(".updated-part").hidden = item.updated_at === item.created_at;
  const edit = card.querySelector(".edit-btn");
  const remove = card.querySelector(".delete-btn");
  edit.setAttribute("aria-label", `Edit feedback ${item.id}`);
  remove.setAttribute("aria-label", `Delete feedback ${item.id}`);
  edit.addEventListener("click", () => openEditor(item, edit));
  remove.addEventListener("click", () => openRemoval(item, remove));
  return card;
}

// Cards that did not change stay the same elements, so that focus and selection survive a refresh.
function drawList(freshId = null) {
  const old = new Map([...view.list.children].map((card) => [card.dataset.id, card]));
  const cards = state.items.map((item) => {
    const card = old.get(String(item.id));
    return card?.dataset.version === item.updated_at ? card : drawCard(item);
  });
  const focused = document.activeElement?.closest?.(".feedback-card")?.dataset.id;
  const button = document.activeElement?.classList.contains("delete-btn") ? ".delete-btn" : ".edit-btn";
  if (cards.length !== old.size || cards.some((card, i) => view.list.children[i] !== card))
    view.list.replaceChildren(...cards);
  if (focused && document.activeElement === document.body)
    view.list.querySelector(`[data-id="${CSS.escape(focused)}"] ${button}`)?.focus();
  if (freshId !== null) view.list.querySelector(`[data-id="${freshId}"]`)?.classList.add("fresh");
  view.count.textContent = state.loaded ? state.total.toLocaleString() : "–";
  view.countLabel.textContent = state.total === 1 ? "entry" : "entries";
  view.loading.hidden = state.loaded || !view.banner.hidden;
  view.empty.hidden = !state.loaded || state.items.length > 0;
  view.more.hidden = !state.more;
}

function setHealth(word) {
  view.health.classList.toggle("healthy", word === "Healthy");
  view.health.classList.toggle("unhealthy", word === "Unhealthy");
  const text = view.health.querySelector(".status-text");
  if (text.textContent !== word) text.textContent = word;
}

function setAway(reason) {
  view.banner.hidden = !reason;
  if (reason)
    view.bannerText.textContent = `${reason} ${state.loaded ? "What you see may be old." : "Nothing could be loaded."}`;
  if (reason) setHealth("Unhealthy");
  view.loading.hidden = state.loaded || Boolean(reason);
}

let toastTimer;
function toast(text) {
  view.toast.textContent = text;
  view.toast.classList.add("show");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => view.toast.classList.remove("show"), TOAST_MS);
}

// ---- The list

// Newest page, merged with the older ones already shown: nobody loses his place.
async function refresh({ loud = false, freshId = null } = {}) {
  const mine = ++state.asked;
  view.refresh.classList.toggle("busy", loud);
  try {
    const shown = Math.min(Math.max(state.items.length, PAGE_SIZE), 1000);
    const page = await fetchPage(0, shown);
    if (mine !== state.asked) return;
    const oldest = page.items.at(-1)?.id ?? 0;
    const older = page.more ? state.items.filter((item) => item.id < oldest) : [];
    state.items = [...page.items, ...older];
    state.total = page.total;
    state.more = page.more && (older.length === 0 || state.more);
    state.loaded = true;
    setAway(null);
    if (view.health.classList.contains("unhealthy")) checkHealth();
    if (loud) toast("Up to date");
  } catch (problem) {
    if (mine !== state.asked) return;
    setAway(problem.message);
  } finally {
    if (mine === state.asked) {
      view.refresh.classList.remove("busy");
      drawList(freshId);
    }
  }
}

async function loadMore() {
  const oldest = state.items.at(-1)?.id;
  const firstNew = state.items.length;
  view.more.disabled = true;
  try {
    const mine = ++state.asked;
    const page = await fetchPage(oldest, PAGE_SIZE);
    if (mine !== state.asked) return;
    state.items = [...state.items, ...page.items];
    state.total = page.total;
    state.more = page.more;
    setAway(null);
    drawList();
    view.list.children[firstNew]?.querySelector(".edit-btn")?.focus({ preventScroll: true });
  } catch (problem) {
    setAway(problem.message);
  } finally {
    view.more.disabled = false;
  }
}

async function checkHealth() {
  try {
    const { body } = await call("/health");
    setHealth(body?.status === "healthy" ? "Healthy" : "Unhealthy");
    return true;
  } catch {
    setHealth("Unhealthy");
    return false;
  }
}

// ---- Dialogs: the browser traps the focus and closes on Esc

function openDialog(dialog, opener) {
  state.opener = opener;
  dialog.classList.add("active");
  dialog.showModal();
}

function closeDialog(dialog) {
  if (dialog.open) dialog.close();
}

// The browser has given the focus back to what had it, if that is still there. The event comes later:
// whoever went on meanwhile keeps the place.
function onClosed(dialog) {
  dialog.classList.remove("active");
  const opener = state.opener;
  const moved = document.activeElement !== document.body && !dialog.contains(document.activeElement);
  if (document.querySelector("dialog[open]") === null) state.opener = null;
  if (moved) return;
  const next = opener?.isConnected ? opener : view.list.querySelector(".edit-btn");
  (next ?? $("add-feedback-btn")).focus();
}

function busy(button, isBusy) {
  button.disabled = isBusy;
  button.setAttribute("aria-busy", String(isBusy));
}

const trimmed = () => view.message.value.trim();

function count() {
  const n = [...trimmed()].length;
  view.chars.textContent = String(n);
  view.charLine.classList.toggle("over", n > LIMIT);
  if (n <= LIMIT) setFormError("");
  return n;
}

function setFormError(text) {
  view.error.textContent = text;
  view.message.setAttribute("aria-invalid", String(Boolean(text)));
}

function openEditor(item, opener) {
  view.id.value = item ? item.id : "";
  view.title.textContent = item ? `Edit feedback #${item.id}` : "Add Feedback";
  view.submit.textContent = item ? "Save" : "Submit";
  view.message.value = item ? item.message : "";
  state.draft.text = null;
  setFormError("");
  count();
  openDialog(view.modal, opener);
  view.message.focus();
  view.message.setSelectionRange(view.message.value.length, view.message.value.length);
}

async function submit(event) {
  event.preventDefault();
  const id = view.id.value;
  const n = count();
  if (n === 0 || n > LIMIT) {
    setFormError(n === 0 ? "Please write something." : "Please shorten it to 500 characters.");
    view.message.focus();
    return;
  }
  busy(view.submit, true);
  try {
    const { body } = await (id ? send("PUT", `${API}/${id}`, trimmed()) : send("POST", API, trimmed(), draftKey(trimmed())));
    if (id) state.items = state.items.map((item) => (item.id === body.id ? body : item));
    else state.items = [body, ...state.items.filter((item) => item.id !== body.id)];
    if (!id) state.total++;
    drawList(body.id);
    if (id) state.opener = view.list.querySelector(`[data-id="${body.id}"] .edit-btn`);
    closeDialog(view.modal);
    toast(id ? "Feedback saved" : "Feedback added");
    refresh({ freshId: body.id });
  } catch (problem) {
    setFormError(problem.status === 404 ? "Somebody else has deleted it meanwhile." : problem.message);
    if (problem instanceof Away) checkHealth();
    else refresh();
  } finally {
    busy(view.submit, false);
  }
}

function openRemoval(item, opener) {
  state.deleting = item.id;
  view.deleteText.textContent = item.message;
  view.deleteError.textContent = "";
  openDialog(view.deleteModal, opener);
  view.confirm.focus();
}

async function remove(event) {
  event.preventDefault();
  const id = state.deleting;
  busy(view.confirm, true);
  try {
    await send("DELETE", `${API}/${id}`).catch((problem) => {
      if (problem.status !== 404) throw problem; // gone already is as good
    });
    const at = state.items.findIndex((item) => item.id === id);
    state.items = state.items.filter((item) => item.id !== id);
    state.total = Math.max(0, state.total - 1);
    drawList();
    const next = view.list.children[Math.min(at, view.list.children.length - 1)];
    state.opener = next?.querySelector(".delete-btn") ?? $("add-feedback-btn");
    closeDialog(view.deleteModal);
    toast("Feedback deleted");
    refresh();
  } catch (problem) {
    view.deleteError.textContent = problem.message;
    checkHealth();
  } finally {
    busy(view.confirm, false);
  }
}

// ---- Wiring

$("add-feedback-btn").addEventListener("click", (event) => openEditor(null, event.currentTarget));
view.refresh.addEventListener("click", () => refresh({ loud: true }));
$("retry-btn").addEventListener("click", async () => {
  await refresh();
  checkHealth();
});
view.more.addEventListener("click", loadMore);
view.form.addEventListener("submit", submit);
view.deleteForm.addEventListener("submit", remove);
view.message.addEventListener("input", count);
view.message.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) view.form.requestSubmit();
});
for (const dialog of [view.modal, view.deleteModal]) {
  dialog.addEventListener("close", () => onClosed(dialog));
  dialog.querySelector("[data-close]").addEventListener("click", () => closeDialog(dialog));
  // A press that starts and ends on the backdrop closes, unless something was typed.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog && !(dialog === view.modal && trimmed() && !view.id.value)) closeDialog(dialog);
  });
}
document.addEventListener("visibilitychange", () => document.hidden || refresh());
window.addEventListener("focus", () => refresh());
window.addEventListener("online", () => refresh());
setInterval(() => document.hidden || checkHealth(), HEALTH_EVERY_MS);
setInterval(() => document.hidden || refresh(), LIST_EVERY_MS);
refresh();
checkHealth();
