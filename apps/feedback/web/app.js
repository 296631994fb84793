// The page of the Feedback App; base.js and people.js come before it.
"use strict";

const API = "/v2/feedback"; // with votes and statuses
const VOTES = "/feedback/votes"; // what one has voted for
const STATUSES = { open: "Open", planned: "Planned", in_progress: "In progress", done: "Done", declined: "Declined" };
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
  status: $("status-input"),
  sort: $("sort-input"),
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
  next: "", // where those behind them begin, as a query has it; "": there are none
  want: { query: "", mine: false, status: "", sort: "" }, // what is shown, and in which order
  loaded: false,
  asked: 0, // number of the newest list request: older answers are thrown away
  deleting: null,
  own: { ids: new Set(), top: 0, bottom: Infinity }, // whose ids between these are known
  votes: { ids: new Set(), seen: "" }, // what one has voted for, as far as is known
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

const filtered = () => state.want.query !== "" || state.want.mine || state.want.status !== "";
const plain = () => !filtered() && state.want.sort === "";

// Where the next page begins: `before`, and by votes also `votes`.
function nextOf(headers) {
  const link = /<([^>]*)>; rel="next"/.exec(headers.get("Link") ?? "");
  if (!link) return "";
  const query = new URL(link[1], location.href).searchParams;
  return ["before", "votes"].filter((name) => query.has(name)).map((name) => `&${name}=${Number(query.get(name))}`).join("");
}

async function fetchOne(from, limit) {
  const { query, mine, status, sort } = state.want;
  const asked = new URLSearchParams({ limit });
  if (query) asked.set("q", query);
  if (mine) asked.set("mine", "1");
  if (status) asked.set("status", status);
  if (sort) asked.set("sort", sort);
  const { body, headers } = await call(`${API}?${asked}${from}`);
  if (!Array.isArray(body)) throw new Away("The answer of the server was not a list.");
  return { items: body, total: Number(headers.get("X-Total-Count") ?? body.length), next: nextOf(headers) };
}

// A search looks at a part of all at a time, and may find nothing there.
async function fetchPage(from, limit) {
  const page = await fetchOne(from, limit);
  for (let part = 1; !plain() && part < PARTS_AT_ONCE && page.next && page.items.length < limit; part++) {
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
  card.querySelector(".vote-btn").addEventListener("click", (event) => vote(item.id, event.currentTarget));
  const select = card.querySelector(".status-select");
  select.setAttribute("aria-label", `Status of feedback ${item.id}`);
  select.append(...Object.entries(STATUSES).map(([value, text]) => make("option", { value }, text)));
  select.addEventListener("change", () => setStatus(item.id, select));
  edit.setAttribute("aria-label", `Edit feedback ${item.id}`);
  remove.setAttribute("aria-label", `Delete feedback ${item.id}`);
  edit.addEventListener("click", () => openEditor(item, edit));
  remove.addEventListener("click", () => openRemoval(item, remove));
  return card;
}

const votesOf = (n) => `${n.toLocaleString()} ${n === 1 ? "vote" : "votes"}`;
// Votes and status change often: the card stays, and with it the focus and an open select.
function dressCard(card, item) {
  const voted = state.votes.ids.has(item.id);
  const version = [item.votes, voted, item.status, may("feedback:vote"), may("feedback:status")].join();
  if (card.dataset.votes === version || item.votes === undefined) return; // an app of a release without votes
  card.dataset.votes = version;
  const button = card.querySelector(".vote-btn");
  button.hidden = !may("feedback:vote");
  button.setAttribute("aria-pressed", String(voted));
  button.setAttribute("aria-label", `Vote for feedback ${item.id}, ${votesOf(item.votes)}`);
  button.title = voted ? "Take your vote back" : "Vote for this";
  card.querySelector(".vote-count").textContent = item.votes.toLocaleString();
  const text = card.querySelector(".vote-text");
  text.hidden = !button.hidden;
  text.textContent = votesOf(item.votes);
  const badge = card.querySelector(".status-badge");
  badge.hidden = may("feedback:status") || item.status === "open";
  badge.className = `status-badge status-${item.status}`;
  badge.textContent = STATUSES[item.status] ?? item.status;
  const select = card.querySelector(".status-select");
  select.hidden = !may("feedback:status");
  select.value = item.status;
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
  cards.forEach((card, i) => dressCard(card, state.items[i]));
  const focused = document.activeElement?.closest?.(".feedback-card")?.dataset.id;
  const place = [...old.keys()].indexOf(focused);
  const button = [".delete-btn", ".vote-btn", ".status-select"].find((name) => document.activeElement?.matches(name)) ?? ".edit-btn";
  if (cards.length !== old.size || cards.some((card, i) => view.list.children[i] !== card))
    view.list.replaceChildren(...cards);
  if (focused && document.activeElement === document.body) {
    // its card, or the one in the place of a card that is gone
    const card = view.list.querySelector(`[data-id="${CSS.escape(focused)}"]`) ?? cards[Math.min(place, cards.length - 1)];
    card?.querySelector(button)?.focus();
  }
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
      Object.assign(state, { items: [], total: 0, next: "", loaded: false });
      setAway(null);
      return;
    }
    const shown = Math.min(Math.max(state.items.length, PAGE_SIZE), 1000);
    const page = await fetchPage("", shown);
    if (mine !== state.asked) return;
    const oldest = page.items.at(-1)?.id ?? Infinity;
    // When so many are new that those shown before do not join on, what is between would be missing.
    const joins = (state.items[0]?.id ?? 0) >= oldest;
    const older = page.next && joins && !state.want.sort ? state.items.filter((item) => item.id < oldest) : [];
    state.items = [...page.items, ...older];
    state.total = page.total;
    if (older.length === 0) state.next = page.next;
    state.loaded = true;
    await learnOwn();
    await learnVotes(attentive);
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
  const ids = state.items.map((item) => item.id);
  const newest = Math.max(...ids);
  const oldest = Math.min(...ids);
  if (newest <= own.top && oldest >= own.bottom) return;
  for (let before = newest + 1; before > oldest; ) {
    const { body } = await call(`/auth/own?limit=1000&before=${before}`);
    if (own !== state.own) return; // somebody else has signed in meanwhile
    for (const id of body.ids) own.ids.add(id);
    before = body.next ?? 0;
    own.bottom = Math.min(own.bottom, before);
  }
  own.top = Math.max(own.top, newest);
}

// What one has voted for among those shown: asked when a count is another, or one is new, or somebody looks.
async function learnVotes(attentive = false) {
  const votes = state.votes;
  const known = session.auth === "off" ? VOTER.test(document.cookie) : Boolean(session.user);
  if (!may("feedback:vote") || !known || state.items.length === 0 || state.items[0].votes === undefined) return;
  const seen = state.items.map((item) => `${item.id}:${item.votes}`).join();
  if (seen === votes.seen && !attentive) return;
  const ids = state.items.map((item) => item.id);
  const oldest = Math.min(...ids);
  const found = new Set();
  try {
    for (let before = Math.max(...ids) + 1; before > oldest; ) {
      const { body } = await call(`${VOTES}?limit=1000&before=${before}`);
      for (const id of body.ids) found.add(id);
      before = body.next ?? 0;
    }
  } catch (problem) {
    if (problem instanceof Refused) return; // by an app of a release without votes
    throw problem;
  }
  if (votes === state.votes) state.votes = { ids: found, seen }; // else there was a vote meanwhile, or another person
}

// ---- Votes and statuses

const VOTER = /(?:^|; )feedback_voter=/;

// Without people a vote is a browser's. Drawn at the first one: who only reads gets no cookie.
function drawVoter() {
  if (session.auth !== "off" || VOTER.test(document.cookie)) return;
  const text = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
  document.cookie = `feedback_voter=${text}; Path=/; Max-Age=31536000; SameSite=Lax${location.protocol === "https:" ? "; Secure" : ""}`;
}

// Shows it at once, and the truth when the server has answered.
function takeVote(id, votes, voted) {
  const ids = new Set(state.votes.ids);
  if (voted) ids.add(id);
  else ids.delete(id);
  state.votes = { ids, seen: "" };
  state.items = state.items.map((item) => (item.id === id ? { ...item, votes } : item));
  drawList();
}

async function vote(id, button) {
  if (button.getAttribute("aria-busy") === "true") return;
  const item = state.items.find((each) => each.id === id);
  const voted = !state.votes.ids.has(id);
  if (!item) return;
  button.setAttribute("aria-busy", "true"); // not disabled: that would lose the focus
  drawVoter();
  takeVote(id, item.votes + (voted ? 1 : -1), voted);
  try {
    const { body } = await send(voted ? "PUT" : "DELETE", `${API}/${id}/vote`);
    takeVote(id, body.votes, body.voted);
    listChanged();
    toast(`${voted ? "You have voted" : "Your vote is taken back"}: ${votesOf(body.votes)}`);
  } catch (problem) {
    takeVote(id, item.votes, !voted);
    changeFailed(problem);
  } finally {
    button.removeAttribute("aria-busy");
  }
}

// A list that is on its way is older than what was just changed. By votes it keeps its order for a while:
// nobody's cards jump away below the finger.
function listChanged() {
  state.asked++;
  view.refresh.classList.remove("busy");
  if (plain()) refresh();
}

function changeFailed(problem) {
  toast(problem.status === 404 ? "It is gone: somebody has deleted it." : problem.message);
  if (problem instanceof Away) checkHealth();
  else refresh();
  if (problem.status === 401 && session.auth !== "off") openSignIn("Your session has ended.");
}

async function setStatus(id, select) {
  const before = state.items.find((item) => item.id === id)?.status;
  try {
    const { body } = await send("PUT", `${API}/${id}/status`, { status: select.value });
    state.items = state.items.map((item) => (item.id === id ? body : item));
    drawList();
    listChanged();
    toast(`Feedback ${id}: ${STATUSES[body.status].toLowerCase()}`);
  } catch (problem) {
    select.value = before;
    changeFailed(problem);
  }
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
    await learnVotes();
    setAway(null);
    drawList();
    view.list.children[firstNew]?.querySelector("button:not([hidden])")?.focus({ preventScroll: true });
  } catch (problem) {
    setAway(problem.message);
  } finally {
    view.more.disabled = false;
  }
}

// What the form says is shown from now on.
function searchAgain() {
  const want = { query: view.searchInput.value.trim(), mine: view.mine.checked, status: view.status.value, sort: view.sort.value };
  if (Object.keys(want).every((name) => want[name] === state.want[name])) return undefined;
  Object.assign(state, { want, items: [], next: "" });
  return refresh();
}

function clearSearch() {
  view.search.reset();
  return searchAgain();
}

let typing;
function onSearch(wait) {
  clearTimeout(typing);
  typing = setTimeout(searchAgain, wait);
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
    if (!id && !plain()) clearSearch(); // what was written is shown, whatever was searched
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
for (const choice of [view.mine, view.status, view.sort]) choice.addEventListener("change", () => onSearch(0));
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
    state.votes = { ids: new Set(), seen: "" };
    if (state.want.mine) clearSearch();
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
