// A stand-in for control with as many apps, releases and log lines as are wished for, at whatever speed: for bench/ui,
// which looks at the page and not at Headgate. The browser tests use the real program.
//
// usage: node mock.mjs [--port N] [--apps N] [--replicas N] [--rollouts N] [--lines-per-second N] [--speed N]
//   --replicas: of the first app, of which one in a hundred changes a second
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { auditOf, configOf, logStandIn, reloadOf } from "./mock_logs.mjs";
import { makeOps } from "./mock_ops.mjs";
import { loadPanels, panelAnswers } from "./panels.mjs";

const DIST = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../web/dist");
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export function options(argv) {
  const o = { port: 0, apps: 12, replicas: 0, rollouts: 40, "lines-per-second": 5, speed: 1 };
  for (let i = 0; i < argv.length; i += 2) o[argv[i].slice(2)] = Number(argv[i + 1]);
  return o;
}

// The same numbers each time: a small generator with a seed.
function random(seed) {
  let s = seed >>> 0;
  return () => {
    s = (s * 1664525 + 1013904223) >>> 0;
    return s / 4294967296;
  };
}

const NAMES = ["feedback", "checkout", "search", "catalogue", "accounts", "billing", "images", "mail", "reports", "stock", "tax", "track"];

function makeApps(n, replicas) {
  const r = random(7);
  return Array.from({ length: n }, (_, i) => {
    const drawn = 2 + Math.floor(r() * 4);
    const desired = (i === 0 && replicas) || drawn;
    const ready = i === 6 ? desired - 1 : desired;
    return {
      name: n <= NAMES.length ? NAMES[i] : `${NAMES[i % NAMES.length]}-${String(i).padStart(3, "0")}`,
      release: 10 + i,
      version: `1.${Math.floor(r() * 20)}.${Math.floor(r() * 9)}`,
      phase: ready < desired ? "degraded" : "running",
      reason: ready < desired ? "replica 2: exit status 1" : "",
      desired,
      ready,
      starting: 0,
      total: desired,
      restarts: i === 6 ? 14 : 0,
      rate: 20 + r() * 900,
      error_ratio: r() * 0.002,
      p95_seconds: 0.01 + r() * 0.15,
      maintenance: false,
      routes: [`${NAMES[i % NAMES.length]}.example.com/`],
      replicas: Array.from({ length: desired }, (_, k) => [k, k >= ready || k === 950]).map(([k, bad]) => ({
        replica: k + 1,
        release: 10 + i,
        incarnation: 1,
        state: bad ? "backoff" : "ready",
        crash_loop: bad,
        pid: 4000 + i * 10 + k,
        address: `127.0.0.1:${20000 + i * 10 + k}`,
        restarts: bad ? 14 : 0,
        since_ms: Date.now() - 3_600_000,
        started_ms: Date.now() - 7_200_000,
        next_start_ms: 0,
        cpu: r() * 0.4,
        cpu_seconds: 100,
        memory_bytes: 40e6 + r() * 1e8,
        in_flight: Math.floor(r() * 4),
        reason: bad ? "exit status 1" : "",
        limits: { memory_bytes: 256 << 20, memory_keeper: "cgroup", cpu: 1, cpu_keeper: "cgroup" },
      })),
      slo: [{ name: "availability", objective: 0.9995, left: i === 3 ? 0.08 : 0.4 + r() * 0.6, burning: i === 3 }],
      rollout: null,
    };
  });
}

const STEPS = [0.1, 0.25, 0.5, 1];

function side(release, version, ready) {
  return { release, version, wanted: ready, ready, starting: 0, crash_loops: 0 };
}

function counted(n, bad) {
  const rate = n ? bad / n : 0;
  const w = n ? 2.5 * Math.sqrt((rate * (1 - rate) + 1 / n) / n) : 1;
  return { n, bad, rate, low: Math.max(0, rate - w), high: Math.min(1, rate + w) };
}

// A rollout at `t` seconds after its start: good for a minute, then bad, taken back when the evidence suffices.
function rolloutAt(id, app, version, t, startMs) {
  const badSince = 60;
  const over = t > badSince + 8;
  const step = over ? 1 : Math.min(1, Math.floor(t / 45));
  const weight = over ? 0 : STEPS[step];
  const n = Math.round(Math.min(t, badSince + 8) * 40);
  const failed = t > badSince ? Math.round(Math.min(8, t - badSince) * 9) : 0;
  const e = failed ? Math.min(4100, 0.3 * Math.exp(failed / 7)) : Math.max(0.05, 1 - t / 90);
  const why = over
    ? `errors: ${failed} of ${n} requests of the new release failed, 3 of ${n * 9} of the old one; evidence ${e.toPrecision(2)}, the limit is 1000`
    : `watched at ${weight * 100} %: not yet proven either way`;
  const metric = (name, share, a, b, ev) => ({ metric: name, e: ev, share, enabled: true, new: a, old: b });
  return {
    schema: "headgate.rollout/1",
    id,
    app: app.name,
    strategy: "canary",
    who: "token:ci",
    state: over ? "aborted" : "running",
    phase: over ? "end" : "step",
    outcome: over ? "rolled_back" : "",
    verdict: over ? "bad" : "not_yet",
    why,
    cause: over ? "evidence" : "",
    next: over ? `headgate rollouts why ${id}` : `headgate rollouts show ${id}`,
    old: side(app.release, app.version, app.ready),
    new: side(app.release + 1, version, over ? 0 : 1),
    weight: { set: weight, actual: weight * (0.98 + 0.04 * Math.sin(t)) },
    step: { index: step + 1, count: STEPS.length, weight, since_ms: startMs + step * 45_000, until_ms: over ? 0 : startMs + (step + 1) * 45_000, wait_ms: 45_000 },
    steps: STEPS.map((w, i) => ({
      weight: w,
      wait_ms: 45_000,
      state: i < step ? "done" : i === step && !over ? "now" : "next",
      took_ms: i < step ? 45_100 : 0,
      unproven: false,
      proof: i < step ? "evidence" : "",
    })),
    evidence: {
      e,
      threshold: 1000,
      confidence: 0.999,
      metrics: [
        metric("errors", 0.2, counted(n, failed), counted(n * 9, 3), e),
        metric("p50", 0.1, counted(n, Math.round(n * 0.48)), counted(n * 9, Math.round(n * 9 * 0.5)), 0.4),
        metric("p95", 0.1, counted(n, Math.round(n * 0.05)), counted(n * 9, Math.round(n * 9 * 0.05)), 0.3),
        metric("error_rate", 0.2, counted(n, failed), counted(n * 9, 3), e * 0.6),
      ],
      good: { e: Math.min(20, t / 10), needs: 20, limit: 0.05 },
    },
    users: { requests_new: n, failed_new: failed, rescued: failed, seen: 0, unreplayable: 0, forced: 0 },
    resources: { memory: { rule: 0, new: 0, old_most: 0, over: 0, needs: 3 }, cpu: { rule: 0, new: 0, old_most: 0, over: 0, needs: 3 }, out_of_memory: { new: 0, old: 0 } },
    mirror: { share: 0, copied: 0, differs: 0, failed: 0, partly: 0, dropped: 0 },
    back: { requests: n, failures: failed, took_ms: 812 },
    first_failures: failed
      ? [{ ts_ms: startMs + badSince * 1000, replica: 4, cause: "status", status: 500, method: "GET", path: "/feedback", request_id: "39c76a4ece07ae9d51611ff2e9923e4c", body: '{"error":"no such column: rating"}' }]
      : [],
    first_differences: [],
    gates: [],
    created_ms: startMs,
    changed_ms: startMs + t * 1000,
    ended_ms: over ? startMs + (badSince + 8) * 1000 : 0,
  };
}

function traceAt(id, from, to, startMs) {
  const out = { id, all: from === 0, t_ms: [], set: [], actual: [], evidence: [], rescued: [], seen: [], new: { rate: [], error_ratio: [], p95: [] }, old: { rate: [], error_ratio: [], p95: [] } };
  for (let t = from; t < to; t++) {
    const r = rolloutAt(id, { name: "x", release: 1, version: "1", ready: 3 }, "2", t, startMs);
    out.t_ms.push(startMs + t * 1000);
    out.set.push(r.weight.set);
    out.actual.push(r.weight.actual);
    out.evidence.push(r.evidence.e);
    out.rescued.push(r.users.rescued);
    out.seen.push(0);
    out.new.rate.push(400 * r.weight.actual);
    out.old.rate.push(400 * (1 - r.weight.actual));
    out.new.error_ratio.push(r.weight.set === 0 ? null : t > 60 ? 0.22 : 0.0004);
    out.old.error_ratio.push(0.0003);
    out.new.p95.push(r.weight.set === 0 ? null : 0.043 + 0.004 * Math.sin(t / 5));
    out.old.p95.push(0.041 + 0.003 * Math.cos(t / 7));
  }
  return out;
}

function columnsOf(form, answer, names) {
  const start = Number(form.get("start")) * 1000;
  const step = Number(form.get("step")) * 1000;
  const n = Math.floor((Number(form.get("end")) * 1000 - start) / step) + 1;
  const times = Array.from({ length: n }, (_, i) => start + i * step);
  const results = form.getAll("query").map((query, k) => {
    const known = answer(query, times, names);
    if (known) return known;
    let h = 0;
    for (const c of query) h = (h * 31 + c.charCodeAt(0)) >>> 0;
    const by = /by \(app, le\)/.test(query) ? NAMES.map((app) => ({ app })) : /by \(replica\)/.test(query) ? [1, 2, 3].map((n) => ({ replica: String(n) })) : [{}];
    return {
      error: null,
      series: by.map((labels, j) => {
        const r = random(h + j);
        const base = 0.02 + r() * 0.1;
        return { labels, values: Array.from({ length: n }, (_, i) => base * (1 + 0.3 * Math.sin(i / 9 + j + k) + 0.1 * r())) };
      }),
    };
  });
  return { schema: "headgate.columns/1", start_ms: start, step_ms: step, n, results };
}

export async function startMock(o) {
  const began = Date.now();
  const clock = () => began + (Date.now() - began) * o.speed;
  const apps = makeApps(o.apps, o.replicas);
  const panels = loadPanels();
  const ofPanel = panelAnswers(panels);
  const cycle = 140;
  let nextEvent = 1000;
  let turn = 0;
  const state = { role: "admin", refused: false }; // a test may change it
  const streams = new Set();
  const rolloutStart = () => {
    const t = (clock() - began) / 1000;
    return { t: t % cycle, startMs: clock() - (t % cycle) * 1000 };
  };
  const live = () => {
    const { t, startMs } = rolloutStart();
    const id = 42 + Math.floor((clock() - began) / 1000 / cycle);
    return { id, t, startMs, doc: rolloutAt(id, apps[0], "1.8.0", t, startMs) };
  };
  const history = (n) => {
    const r = random(3);
    return Array.from({ length: n }, (_, i) => {
      const app = apps[Math.floor(r() * apps.length)];
      const bad = r() < 0.12;
      return {
        id: 41 - i > 0 ? 41 - i : 100000 + i,
        app: app.name,
        strategy: "canary",
        old: side(app.release - 1, `1.${i % 9}.0`, 3),
        new: side(app.release, `1.${i % 9}.1`, 3),
        state: bad ? "aborted" : "done",
        phase: "end",
        outcome: bad ? "rolled_back" : "promoted",
        cause: bad ? "evidence" : "",
        weight: { set: bad ? 0 : 1, actual: 1 },
        why: bad ? "errors: 7 of 31 requests of the new release failed, 0 of 282 of the old one" : "every step was proven good",
        created_ms: began - (i + 1) * 5_400_000,
        ended_ms: began - (i + 1) * 5_400_000 + 2_400_000,
      };
    });
  };
  const brief = (d) => ({ id: d.id, state: d.state, phase: d.phase, strategy: d.strategy, weight_set: d.weight.set, weight_actual: d.weight.actual, step: d.step.index, steps: d.steps.length, verdict: d.verdict, why: d.why, new_version: d.new.version });

  // As control sends it: without the replicas that are as they were.
  function changedOf({ replicas, ...app }, i) {
    const changed = i ? [] : replicas.slice(turn % 100).filter((_, k) => o.replicas && k % 100 === 0);
    for (const r of changed) r.in_flight = (r.in_flight + 1) % 9;
    return changed.length ? { ...app, replicas: changed, replicas_gone: [] } : app;
  }
  function appRows(all) {
    turn++;
    const l = live();
    for (const a of apps) a.rate = Math.max(1, a.rate * (0.97 + Math.random() * 0.06));
    apps[0].rollout = l.doc.outcome ? null : brief(l.doc);
    return { all, apps: all ? apps : apps.map(changedOf), gone: [] };
  }
  const evidenceOf = (i) => ({ rollout: 42, strategy: "canary", phase: "step", weight: STEPS[i % 4], step: 1, index: i % 4, outcome: "", cause: "" });
  const kinds = ["rollout.weight", "replica.ready", "rollout.passed", "app.scaled", "rollout.started", "rollout.promoted", "replica.ready"];
  const said = new Map();
  const eventAt = (id) => said.get(id) ?? ({ id, ts_ms: clock() - (nextEvent - id) * 47_000, kind: kinds[id % kinds.length], app: apps[id % Math.min(apps.length, 5)].name, release: 12, replica: id % 3, evidence: id % kinds.length === 3 ? { replicas: 4 } : evidenceOf(id) });

  const json = (res, body, status = 200) => {
    res.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store" });
    res.end(JSON.stringify(body));
  };
  function file(res, name) {
    const at = path.join(DIST, name);
    if (!at.startsWith(DIST) || !existsSync(at)) return json(res, { title: "not found", status: 404 }, 404);
    res.writeHead(200, { "Content-Type": TYPES[path.extname(at)] ?? "application/octet-stream", "Content-Security-Policy": CSP });
    createReadStream(at).pipe(res);
  }
  function stream(req, res, url) {
    const id = Number(url.searchParams.get("rollout") ?? 0);
    res.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    const send = (event, data) => res.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    send("hello", { version: "0.1.0", now_ms: Math.round(clock()), who: "token:demo", role: state.role, started_ms: began });
    send("apps", appRows(true));
    send("platform", { state: "running", processes: [], listeners: { edge: ["http://localhost:8080"], admin: "127.0.0.1:4323" } });
    send("counts", { alerts_firing: 1, incidents_open: 1, silences: 0 });
    let last = 0;
    let beats = 0;
    const every = setInterval(() => {
      if (res.writableNeedDrain) return;
      send("apps", appRows(false));
      const l = live();
      if (id === l.id) {
        send("rollout", l.doc);
        const t = Math.floor(l.t);
        if (t > last) send("trace", traceAt(id, last, t, l.startMs));
        last = t;
      }
      if (++beats % 5 === 0) send("tick", { now_ms: Math.round(clock()) });
    }, 1000 / o.speed);
    const open = { res, every };
    streams.add(open);
    req.on("close", () => (clearInterval(every), streams.delete(open)));
  }
  const log = logStandIn(o, apps, clock);
  const body = async (req) => {
    let text = "";
    for await (const part of req) text += part;
    return text;
  };
  const ops = makeOps();
  const server = createServer(async (req, res) => {
    const url = new URL(req.url, "http://x");
    const p = url.pathname;
    if (p === "/") return file(res, "index.html");
    if (p.startsWith("/assets/") || p === "/favicon.svg") return file(res, p.slice(1));
    if (state.refused && p !== "/v1/session") return json(res, { title: "unauthorized", status: 401, detail: "this token was revoked" }, 401);
    if (p === "/v1/session") return json(res, { name: "demo", role: state.role, expires_ms: null, version: "0.1.0" });
    if (p === "/v1/live") return stream(req, res, url);
    if (p === "/v1/events") {
      const app = url.searchParams.get("app");
      return json(res, { events: Array.from({ length: 40 }, (_, i) => eventAt(nextEvent - i)).reverse().filter((e) => !app || e.app === app) });
    }
    if (p === "/v1/logs") return log.logs(req, res, url.searchParams);
    if (p === "/v1/logs/volume") return json(res, log.volume(url.searchParams));
    if (p === "/v1/audit") return json(res, auditOf(url.searchParams, began));
    if (p === "/v1/config") return json(res, configOf(began));
    if (p === "/v1/reload") {
      const [status, answer] = reloadOf(JSON.parse(await body(req)));
      return json(res, answer, status);
    }
    if (p === "/v1/columns") return json(res, columnsOf(new URLSearchParams(await body(req)), ofPanel, apps.map((a) => a.name)));
    if (p === "/v1/panels") return json(res, panels);
    if (p === "/v1/rollouts") {
      const l = live();
      return json(res, { rollouts: [{ ...l.doc }, ...history(o.rollouts)].slice(0, 1000) });
    }
    const one = /^\/v1\/rollouts\/(\d+)$/.exec(p);
    if (one) {
      const l = live();
      return json(res, Number(one[1]) === l.id ? l.doc : rolloutAt(Number(one[1]), apps[0], "1.7.9", 100, began - 400_000));
    }
    const app = apps.find((a) => p === `/v1/apps/${a.name}`);
    if (app) return json(res, { schema: "headgate.app/1", app });
    const text = req.method === "POST" ? await body(req) : "";
    const answer = ops(req.method, url, text && JSON.parse(text));
    if (answer && typeof answer[1] === "string") return res.end(answer[1]);
    if (answer) return json(res, answer[1], answer[0]);
    return json(res, { title: "not found", status: 404, detail: `the stand-in has no ${p}` }, 404);
  });
  await new Promise((done) => server.listen(o.port, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    state,
    // Entries of the journal, in one piece to all who read.
    say(...list) {
      const text = list.map((e) => {
        const id = ++nextEvent;
        said.set(id, { ...eventAt(id), ts_ms: Date.now(), ...e, id });
        return `id: ${id}\nevent: event\ndata: ${JSON.stringify(said.get(id))}\n\n`;
      });
      for (const { res } of streams) res.write(text.join(""));
    },
    cut() {
      for (const { res } of streams) res.destroy();
    },
    stop() {
      for (const { every } of streams) clearInterval(every);
      server.closeAllConnections();
      server.close();
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const mock = await startMock(options(process.argv.slice(2)));
  console.log(mock.url);
}
