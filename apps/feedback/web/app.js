// The page of the Feedback App; base.js and people.js come before it.
"use strict";

const API = "/feedback";
const LIMIT = 500; // characters, counted as code points like the server does
const PAGE_SIZE = 50;
const HEALTH_EVERY_MS = 30_000;
const LIST_EVERY_MS = 15_000;
const PARTS_AT_ONCE = 10;
const TYPING_MS = 250; // so long after the last letter it is searched

const view = {
  health: $("health-status"),
  banner: $("away-banner"),
  bannerText: document.querySelector(".banner-text"),
  count: $("feedback-count"),
  countLabel: $("feedback-count-label"),
  refresh: $("refresh-btn"),
  list: $("feedback-list"),
  empty: $("empty-state"),
  nothing: $("nothing-state"),
  closed: $("closed-state"),
  search: $("search-form"),
  searchInput: $("search-input"),
  mine: $("mine-input"),
  minePart: $("mine-part"),
  add: $("add-feedback-btn"),
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
  template: $("card-template"),
};

const state = {
  items: [], // newest first, as shown
  total: 0,
  next: 0, // where older ones begin; 0: there are none
  query: "", // what is searched
  mine: false, // only one's own is shown
  loaded: false,
  asked: 0, // number of the newest list request: older answers are thrown away
  deleting: null,
  own: { ids: new Set(), top: 0, bottom: Infinity }, // whose ids between these are known
  draft: { text: null, key: "" }, // what was sent last from the open dialog, and under which key
};

// ---- Talking to the server

// The same text sent again from the same dialog is the same wish: the server makes it once, and so
// the edge may ask another replica when one dies without an answer.
function draftKey(text) {
  if (state.draft.text !== text)
    state.draft = { text, key: [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("") };
  return { "Idempotency-Key": state.draft.key };
}

const sendMessage = (method, path, message, more) => send(method, path, { message }, more);

const filtered = () => state.query !== "" || state.mine;

async function fetchOne(before, limit) {
  const asked = new URLSearchParams({ limit });
  if (before) asked.set("before", before);
  if (state.query) asked.set("q", state.query);
  if (state.mine) asked.set("mine", "1");
  const { body, headers } = await call(`${API}?${asked}`);
  if (!Array.isArray(body)) throw new Away("The answer of the server was not a list.");
  const next = /<[^>]*[?&]before=(\d+)[^>]*>; rel="next"/.exec(headers.get("Link") ?? "");
  return { items: body, total: Number(headers.get("X-Total-Count") ?? body.length), next: next ? Number(next[1]) : 0 };
}

// A search looks at a part of all at a time, and may find nothing there.
async function fetchPage(before, limit) {
  const page = await fetchOne(before, limit);
  for (let part = 1; filtered() && part < PARTS_AT_ONCE && page.next && page.items.length < limit; part++) {
    const more = await fetchOne(page.next, limit - page.items.length);
    page.items.push(...more.items);
    page.next = more.next;
  }
  return page;
}

// ---- Drawing

const mayChange = (item, what) => may(`feedback:${what}`) || (may(`feedback:${what}:own`) && state.own.ids.has(item.id));

// A card is drawn anew when this is another.
const versionOf = (item) => `${item.updated_at} ${mayChange(item, "update")} ${mayChange(item, "delete")}`;

function drawCard(item) {
  const card = view.template.content.firstElementChild.cloneNode(true);
  card.dataset.id = item.id;
  card.dataset.version = versionOf(item);
  card.setAttribute("aria-label", `Feedback ${item.id}`);
  card.querySelector(".feedback-id").textContent = `#${item.id}`;
  card.querySelector(".feedback-message").textContent = item.message;
  drawTime(card.querySelector(".created"), item.created_at);
  drawTime(card.querySelector(".updated"), item.updated_at);
  card.querySelector(".updated-part").hidden = item.updated_at === item.created_at;
  const edit = card.querySelector(".edit-btn");
  const remove = card.querySelector(".delete-btn");
  edit.hidden = !mayChange(item, "update");
  remove.hidden = !mayChange(item, "delete");
  edit.setAttribute("aria-label", `Edit feedback ${item.id}`);
  remove.setAttribute("aria-label", `Delete feedback ${item.id}`);
  edit.addEventListener("click", () => openEditor(item, edit));
  remove.addEventListener("click", () => openRemoval(item, remove));
  return card;
}

function drawCount() {
  const shown = state.items.length.toLocaleString() + (state.next ? "+" : "");
  view.count.textContent = !state.loaded ? "–" : filtered() ? shown : state.total.toLocaleString();
  view.countLabel.textContent = filtered() ? "found" : state.total === 1 ? "entry" : "entries";
}

// Cards that did not change stay the same elements, so that focus and selection survive a refresh.
function drawList(freshId = null) {
  const old = new Map([...view.list.children].map((card) => [card.dataset.id, card]));
  const cards = state.items.map((item) => {
    const card = old.get(String(item.id));
    return card?.dataset.version === versionOf(item) ? card : drawCard(item);
  });
  const focused = document.activeElement?.closest?.(".feedback-card")?.dataset.id;
  const button = document.activeElement?.classList.contains("delete-btn") ? ".delete-btn" : ".edit-btn";
  if (cards.length !== old.size || cards.some((card, i) => view.list.children[i] !== card))
    view.list.replaceChildren(...cards);
  if (focused && document.activeElement === document.body)
    view.list.querySelector(`[data-id="${CSS.escape(focused)}"] ${button}`)?.focus();
  if (freshId !== null) view.list.querySelector(`[data-id="${freshId}"]`)?.classList.add("fresh");
  drawCount();
  view.loading.hidden = state.loaded || !view.banner.hidden;
  const closed = session.known && !may("feedback:read");
  view.closed.hidden = !closed;
  view.loading.hidden ||= closed;
  const nothing = !closed && state.loaded && state.items.length === 0;
  view.empty.hidden = !nothing || filtered();
  view.nothing.hidden = !nothing || !filtered() || Boolean(state.next);
  view.search.hidden = closed;
  view.minePart.hidden = !session.user;
  view.more.hidden = !state.next;
  view.add.hidden = !may("feedback:create");
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

// ---- The list

// Newest page, merged with the older ones already shown: nobody loses his place.
async function refresh({ loud = false, attentive = loud, freshId = null } = {}) {
  const mine = ++state.asked;
  view.refresh.classList.toggle("busy", loud);
  try {
    await keepSession(attentive);
    if (mine !== state.asked) return;
    if (!may("feedback:read")) {
      Object.assign(state, { items: [], total: 0, next: 0, loaded: false });
      setAway(null);
      return;
    }
    const shown = Math.min(Math.max(state.items.length, PAGE_SIZE), 1000);
    const page = await fetchPage(0, shown);
    if (mine !== state.asked) return;
    const oldest = page.items.at(-1)?.id ?? Infinity;
    // When so many are new that those shown before do not join on, what is between would be missing.
    const joins = (state.items[0]?.id ?? 0) >= oldest;
    const older = page.next && joins ? state.items.filter((item) => item.id < oldest) : [];
    state.items = [...page.items, ...older];
    state.total = page.total;
    if (older.length === 0) state.next = page.next;
    state.loaded = true;
    await learnOwn();
    if (mine !== state.asked) return;
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

// Which of those shown are his who has signed in. Whose a feedback is never changes: it is asked once.
async function learnOwn() {
  const own = state.own;
  const needs = may("feedback:update:own") && !may("feedback:update");
  if (!needs || !session.user || state.items.length === 0) return;
  const newest = state.items[0].id;
  const oldest = state.items.at(-1).id;
  if (newest <= own.top && oldest >= own.bottom) return;
  for (let before = newest + 1; before > oldest; ) {
    const { body } = await call(`/auth/own?limit=1000&before=${before}`);
    if (own !== state.own) return; // somebody else has signed in meanwhile
    for (const id of body.ids) own.ids.add(id);
    before = body.next ?? 0;
    own.bottom = Math.min(own.bottom, before);
  }
  own.top = newest;
}

async function loadMore() {
  const firstNew = state.items.length;
  view.more.disabled = true;
  try {
    const mine = ++state.asked;
    const page = await fetchPage(state.next, PAGE_SIZE);
    if (mine !== state.asked) return;
    state.items = [...state.items, ...page.items];
    state.total = page.total;
    state.next = page.next;
    await learnOwn();
    setAway(null);
    drawList();
    view.list.children[firstNew]?.querySelector(".edit-btn")?.focus({ preventScroll: true });
  } catch (problem) {
    setAway(problem.message);
  } finally {
    view.more.disabled = false;
  }
}

function searchFor(query, mine) {
  if (query === state.query && mine === state.mine) return undefined;
  Object.assign(state, { query, mine, items: [], next: 0 });
  return refresh();
}

function clearSearch() {
  view.search.reset();
  return searchFor("", false);
}

let typing;
function onSearch(wait) {
  clearTimeout(typing);
  typing = setTimeout(() => searchFor(view.searchInput.value.trim(), view.mine.checked), wait);
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

// ---- Dialogs

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
    const { body } = await (id ? sendMessage("PUT", `${API}/${id}`, trimmed()) : sendMessage("POST", API, trimmed(), draftKey(trimmed())));
    if (!id && filtered()) clearSearch(); // what was written is shown, whatever was searched
    if (id) state.items = state.items.map((item) => (item.id === body.id ? body : item));
    else state.items = [body, ...state.items.filter((item) => item.id !== body.id)];
    if (!id) state.total++;
    if (!id && session.user) state.own.ids.add(body.id);
    drawList(body.id);
    if (id) openers.set(view.modal, view.list.querySelector(`[data-id="${body.id}"] .edit-btn`));
    closeDialog(view.modal);
    toast(id ? "Feedback saved" : "Feedback added");
    refresh({ freshId: body.id });
  } catch (problem) {
    setFormError(problem.status === 404 ? "Somebody else has deleted it meanwhile." : problem.message);
    if (problem instanceof Away) checkHealth();
    else refresh();
    if (problem.status === 401 && session.auth !== "off") openSignIn("Your session has ended. What you have written stays.");
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
    openers.set(view.deleteModal, next?.querySelector(".delete-btn:not([hidden])") ?? view.add);
    closeDialog(view.deleteModal);
    toast("Feedback deleted");
    refresh();
  } catch (problem) {
    view.deleteError.textContent = problem.message;
    checkHealth();
    if (problem.status === 401 && session.auth !== "off") openSignIn("Your session has ended.");
  } finally {
    busy(view.confirm, false);
  }
}

// ---- Wiring

view.add.addEventListener("click", (event) => openEditor(null, event.currentTarget));
view.refresh.addEventListener("click", () => refresh({ loud: true }));
$("retry-btn").addEventListener("click", async () => {
  await refresh();
  checkHealth();
});
view.more.addEventListener("click", loadMore);
view.search.addEventListener("submit", (event) => {
  event.preventDefault();
  onSearch(0);
});
view.searchInput.addEventListener("input", () => onSearch(TYPING_MS));
view.mine.addEventListener("change", () => onSearch(0));
$("search-clear-btn").addEventListener("click", () => {
  clearSearch();
  view.searchInput.focus();
});
view.form.addEventListener("submit", submit);
view.deleteForm.addEventListener("submit", remove);
view.message.addEventListener("input", count);
view.message.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) view.form.requestSubmit();
});
const anyButton = () => view.list.querySelector(".edit-btn:not([hidden])") ?? view.add;
wireDialog(view.modal, anyButton, () => trimmed() && !view.id.value);
wireDialog(view.deleteModal, anyButton);
$("closed-sign-in-btn").addEventListener("click", () => openSignIn());
document.addEventListener("session", ({ detail }) => {
  if (detail.changed) {
    state.own = { ids: new Set(), top: 0, bottom: Infinity };
    if (state.mine) clearSearch();
  }
  drawList();
});
document.addEventListener("signed", () => refresh());
document.addEventListener("visibilitychange", () => document.hidden || refresh({ attentive: true }));
window.addEventListener("focus", () => refresh({ attentive: true }));
window.addEventListener("online", () => refresh());
setInterval(() => document.hidden || checkHealth(), HEALTH_EVERY_MS);
setInterval(() => document.hidden || refresh(), LIST_EVERY_MS);
refresh();
checkHealth();
