// The one stream of live data: what is now, as signals. It is opened while somebody is signed in and the page can be
// seen; it comes back by itself, says so meanwhile, and misses no event of the journal.
import { batch, computed, signal } from "@preact/signals";
import { ApiError, problemOf, request } from "./api";
import { place } from "./route";
import { session, token } from "./session";
import { reader, type Message } from "./sse";
import { now, skew } from "./time";
import type { App, Event, Problem, Rollout, Session, Trace, TraceSide } from "./types";

export type Connection = "signed-out" | "connecting" | "live" | "lost" | "resting";

export interface Platform {
  state: string;
  processes: { role: string; pid: number }[];
  listeners: { edge: string[]; admin: string };
  certificates?: { host?: string; text?: string };
  started_ms?: number;
}

export interface Counts {
  alerts_firing: number;
  incidents_open: number;
  silences: number;
}

const EVENTS_KEPT = 300;
const TRACE_KEPT = 3600;
const SILENT_MS = 40_000; // the server says something every 15 s
const HIDDEN_MS = 60_000;

export const connection = signal<Connection>("connecting");
export const lostSince = signal(0);
export const lostWhy = signal<Problem | null>(null); // what was answered, if anything was
export const apps = signal<Map<string, App>>(new Map());
export const appList = computed(() => [...apps.value.values()].sort((a, b) => (a.name < b.name ? -1 : 1)));
export const known = signal(false); // the first state has come
export const platform = signal<Platform | null>(null);
export const counts = signal<Counts>({ alerts_firing: 0, incidents_open: 0, silences: 0 });
export const events = signal<Event[]>([]); // newest first
export const rollout = signal<Rollout | null>(null);
export const trace = signal<Trace | null>(null);
export const beat = signal(0); // one more each time the metrics store has new samples

// The rollout whose page is open.
const followed = computed(() => {
  const [first, second] = place.value.path;
  return first === "rollouts" && second && /^\d+$/.test(second) ? second : "";
});

let lastEvent = "";
let asked = ""; // the rollout that this stream is asked for
let unknown = ""; // the one that there never was
let abort: AbortController | null = null;
let retryMs = 500;
let retryTimer = 0;
let heard = 0;

export interface AppsMessage {
  all: boolean;
  apps: (App & { replicas_gone?: number[] })[];
  gone?: string[];
}

// Of an app that is known only those of its replicas come that changed, and the numbers of those that are gone.
function joinReplicas(before: App | undefined, { replicas_gone: gone = [], ...app }: AppsMessage["apps"][number]): App {
  if (!before) return app;
  if (!app.replicas) return { ...app, replicas: before.replicas };
  const by = new Map([...(before.replicas ?? []), ...app.replicas].map((r) => [r.replica, r]));
  for (const number of gone) by.delete(number);
  return { ...app, replicas: [...by.values()].sort((a, b) => a.replica - b.replica) };
}

export function joinApps(before: Map<string, App>, message: AppsMessage): Map<string, App> {
  const next = message.all ? new Map<string, App>() : new Map(before);
  for (const app of message.apps) next.set(app.name, joinReplicas(next.get(app.name), app));
  for (const name of message.gone ?? []) next.delete(name);
  return next;
}

function takeApps(message: AppsMessage) {
  apps.value = joinApps(apps.peek(), message);
  known.value = true;
}

// A control that was replaced begins with the present, and one that runs keeps a quarter of an hour: what was before its
// first point stays.
export function joinTrace(a: Trace | null, b: Trace): Trace {
  if (!a || a.id !== b.id) return b;
  const first = b.all && b.t_ms.length ? a.t_ms.findIndex((t) => t >= b.t_ms[0]!) : -1;
  const upTo = first < 0 ? a.t_ms.length : first;
  const drop = Math.max(0, upTo + b.t_ms.length - TRACE_KEPT);
  const cut = <T>(x: T[], y: T[]) => x.slice(drop, upTo).concat(y);
  const joinSide = (x: TraceSide, y: TraceSide) => {
    const out = {} as TraceSide;
    for (const key of Object.keys(y) as (keyof TraceSide)[]) out[key] = cut(x[key] ?? [], y[key]);
    return out;
  };
  return {
    id: b.id,
    all: true,
    t_ms: cut(a.t_ms, b.t_ms),
    set: cut(a.set, b.set),
    actual: cut(a.actual, b.actual),
    evidence: cut(a.evidence, b.evidence),
    rescued: cut(a.rescued, b.rescued),
    seen: cut(a.seen, b.seen),
    new: joinSide(a.new, b.new),
    old: joinSide(a.old, b.old),
  };
}

function takeEvent(e: Event) {
  const kept = events.peek();
  if (kept.some((k) => k.id === e.id)) return;
  events.value = [e, ...kept].sort((a, b) => b.id - a.id).slice(0, EVENTS_KEPT);
}

function take(m: Message) {
  if (m.id) lastEvent = m.id;
  const data = JSON.parse(m.data);
  switch (m.event) {
    case "hello":
      skew.value = data.now_ms - Date.now();
      now.value = data.now_ms;
      // A role may have been taken away, or given, since the page was opened.
      if (session.peek() && session.peek()!.role !== data.role) session.value = { ...session.peek()!, role: data.role };
      return;
    case "apps":
      return takeApps(data);
    case "platform":
      platform.value = data;
      return;
    case "counts":
      counts.value = data;
      return;
    case "event":
      return takeEvent(data);
    case "rollout":
      if (String(data.id) === followed.peek()) rollout.value = data;
      return;
    case "trace":
      if (String(data.id) === followed.peek()) trace.value = joinTrace(trace.peek(), data);
      return;
    case "tick":
      skew.value = data.now_ms - Date.now();
      beat.value++;
  }
}

function lost(why: Problem | null = null) {
  lostWhy.value = why;
  if (connection.peek() !== "lost") lostSince.value = Date.now();
  connection.value = "lost";
  retryTimer = window.setTimeout(open, retryMs);
  retryMs = Math.min(retryMs * 1.6, 5000);
}

// The server ended the stream in good order: it gives its place to another one, or the token is over.
function ended() {
  connection.value = "connecting";
  retryTimer = window.setTimeout(open, retryMs);
}

// Who this is, and the journal's newest entries, once: the stream goes on from there. What is answered to somebody who
// has signed out meanwhile is thrown away.
async function first(signal: AbortSignal) {
  const read = async (path: string) => {
    const answer = await (await request(path, { signal })).json();
    signal.throwIfAborted();
    return answer;
  };
  if (!session.peek()) session.value = (await read("/v1/session")) as Session;
  if (lastEvent) return;
  const list = (await read("/v1/events?limit=100")).events as Event[];
  batch(() => list.forEach(takeEvent));
  lastEvent = String(Math.max(0, ...list.map((e) => e.id)));
}

async function open() {
  close();
  if (!token.peek()) {
    connection.value = "signed-out";
    return;
  }
  const mine = (abort = new AbortController());
  heard = Date.now();
  if (connection.peek() !== "lost") connection.value = "connecting";
  asked = followed.peek() === unknown ? "" : followed.peek();
  try {
    await first(mine.signal);
    const query = new URLSearchParams({ after: lastEvent });
    if (asked) query.set("rollout", asked);
    const answer = await request(`/v1/live?${query}`, { signal: mine.signal, headers: { Accept: "text/event-stream" } });
    const input = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    const feed = reader((m) => take(m));
    connection.value = "live";
    retryMs = 500;
    heard = Date.now();
    for (;;) {
      const { done, value } = await input.read();
      if (done || mine !== abort) break;
      heard = Date.now();
      batch(() => feed(value));
    }
    if (mine === abort) ended();
  } catch (error) {
    if (mine !== abort) return;
    const problem = problemOf(error);
    if (problem.status === 401) {
      close();
      connection.value = "signed-out";
    } else if (problem.status === 404 && asked) {
      // An address with a number of no rollout: its page says so, and the rest is live all the same.
      unknown = asked;
      void open();
    } else {
      lost(error instanceof ApiError ? problem : null);
    }
  }
}

function close() {
  clearTimeout(retryTimer);
  abort?.abort();
  abort = null;
}

let hiddenTimer = 0;
function onVisibility() {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    // Browsers allow six connections to a server: tabs that nobody looks at give theirs back.
    hiddenTimer = window.setTimeout(() => {
      if (connection.peek() === "signed-out") return;
      close();
      connection.value = "resting";
    }, HIDDEN_MS);
  } else if (connection.peek() === "resting") {
    void open();
  }
}

export function start() {
  token.subscribe(() => {
    lastEvent = "";
    events.value = [];
    known.value = false;
    connection.value = "connecting";
    void open();
  });
  followed.subscribe((id) => {
    rollout.value = null;
    trace.value = null;
    unknown = "";
    // Nobody is told four times a second of a rollout whose page was left.
    if (id !== asked && connection.peek() !== "signed-out" && connection.peek() !== "resting") void open();
  });
  document.addEventListener("visibilitychange", onVisibility);
  setInterval(() => {
    // A network that went away says nothing at all.
    if (abort && Date.now() - heard > SILENT_MS) {
      close();
      lost();
    }
  }, 5000);
}
