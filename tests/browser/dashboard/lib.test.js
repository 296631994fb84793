// The parts of the page that are pure: bytes to messages, numbers to text, points to columns.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

const WEB = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../web");
const esbuild = createRequire(path.join(WEB, "package.json"))("esbuild");

// What the page's modules expect of a browser before anything is drawn.
globalThis.location ??= { hash: "" };
globalThis.addEventListener ??= () => {};
globalThis.matchMedia ??= () => ({ matches: false, addEventListener() {} });
globalThis.setInterval = () => 0; // clocks of the page would keep the test running

let dir;
const load = async (name) => {
  const out = path.join(dir, `${name.replaceAll("/", "_")}.mjs`);
  await esbuild.build({ entryPoints: [path.join(WEB, "src", `${name}.ts`)], bundle: true, format: "esm", outfile: out, logLevel: "silent", jsx: "automatic", jsxImportSource: "preact" });
  return import(pathToFileURL(out));
};
before(async () => (dir = await mkdtemp(path.join(tmpdir(), "headgate-web-"))));
after(() => rm(dir, { recursive: true, force: true }));

describe("server-sent events", () => {
  const read = async (...parts) => {
    const { reader } = await load("lib/sse");
    const got = [];
    const feed = reader((m) => got.push(m));
    for (const part of parts) feed(part);
    return got;
  };
  it("reads messages wherever the bytes are cut", async () => {
    const whole = 'retry: 1000\n\n: still here\n\nid: 7\nevent: apps\ndata: {"a":1}\n\nevent: tick\r\ndata: one\r\ndata: two\r\n\r\n';
    const want = [
      { event: "apps", id: "7", data: '{"a":1}' },
      { event: "tick", id: "7", data: "one\ntwo" },
    ];
    assert.deepEqual(await read(whole), want);
    for (let cut = 1; cut < whole.length; cut++) assert.deepEqual(await read(whole.slice(0, cut), whole.slice(cut)), want, `cut at ${cut}`);
    assert.deepEqual(await read(...whole), want);
  });
  it("gives nothing of a message that did not end, nor of one without data", async () => {
    assert.deepEqual(await read("event: a\ndata: 1\n"), []);
    assert.deepEqual(await read("event: a\n\ndata: 2\n\n"), [{ event: "message", id: "", data: "2" }]);
  });
});

describe("apps of the stream", () => {
  it("keeps what did not change, puts in what did, and leaves out what is gone", async () => {
    const { joinApps } = await load("lib/live");
    const r = (replica, pid = replica) => ({ replica, pid });
    const numbers = (apps) => Object.fromEntries([...apps].map(([name, a]) => [name, a.replicas?.map((x) => [x.replica, x.pid])]));
    let apps = joinApps(new Map(), { all: true, apps: [{ name: "a", replicas: [r(1), r(2), r(3)], replicas_gone: [] }, { name: "b", replicas: [] }], gone: [] });
    apps = joinApps(apps, { all: false, apps: [{ name: "a", rate: 5 }], gone: [] });
    assert.equal(apps.get("a").rate, 5);
    assert.deepEqual(numbers(apps), { a: [[1, 1], [2, 2], [3, 3]], b: [] });
    const before = apps.get("a").replicas[0];
    apps = joinApps(apps, { all: false, apps: [{ name: "a", replicas: [r(10), r(2, 22)], replicas_gone: [3] }, { name: "c", replicas: [r(1)] }], gone: ["b"] });
    assert.deepEqual(numbers(apps), { a: [[1, 1], [2, 22], [10, 10]], c: [[1, 1]] });
    assert.equal(apps.get("a").replicas[0], before, "what did not change is the same object");
    assert.equal("replicas_gone" in apps.get("a"), false);
    // A new connection: all there is, and nothing of what was.
    apps = joinApps(apps, { all: true, apps: [{ name: "a", replicas: [r(7)], replicas_gone: [] }], gone: [] });
    assert.deepEqual(numbers(apps), { a: [[7, 7]] });
  });
});

describe("numbers and times", () => {
  it("writes numbers the way people read them", async () => {
    const { number, ratio, seconds, bytes, duration, ago, count } = await load("lib/format");
    const rows = [
      [number, 0, "0"],
      [number, 1234, "1234"],
      [number, 12_345, "12.3 k"],
      [number, 0.123456, "0.123"],
      [number, null, "–"],
      [number, NaN, "–"],
      [number, 4499.5, "4500"],
      [number, -25_000, "-25 k"],
      [ratio, 0, "0 %"],
      [ratio, 0.00001, "<0.01 %"],
      [ratio, 0.0302, "3 %"],
      [ratio, 0.0357, "3.6 %"],
      [ratio, 0.125, "12.5 %"],
      [ratio, 0.9995, "99.95 %"],
      [ratio, 1, "100 %"],
      [ratio, null, "–"],
      [seconds, 0.000012, "12 µs"],
      [seconds, 0.0415, "42 ms"],
      [seconds, 1.25, "1.25 s"],
      [seconds, 600, "10 min"],
      [bytes, 268_435_456, "256 MiB"],
      [bytes, 1023, "1023 B"],
      [duration, 812, "812 ms"],
      [duration, 45_100, "45 s"],
      [duration, 12_000_000, "3 h 20 min"],
      [duration, 180_000_000, "2 d 2 h"],
      [count, 1_804_000, "1\u202f804\u202f000"],
    ];
    for (const [f, given, want] of rows) assert.equal(f(given), want, `${f.name}(${given})`);
    assert.equal(ago(1000, 2000), "now");
    assert.equal(ago(0, 12_000), "12 s ago");
    assert.equal(ago(0, 7_200_000), "2 h ago");
  });
  it("knows the range of the address and asks on a grid", async () => {
    const { timeOf, spanOf } = await load("lib/time");
    assert.equal(timeOf("-15m", 1_000_000), 100_000);
    assert.equal(timeOf("now", 1_000_000), 1_000_000);
    assert.equal(timeOf("12345", 1_000_000), 12_345);
    assert.equal(timeOf("rubbish", 1_000_000), 1_000_000);
    const span = spanOf(1_800_000_003_210);
    assert.equal(span.stepMs, 15_000);
    assert.equal(span.startMs % span.stepMs, 0);
    assert.equal(span.endMs % span.stepMs, 0);
    assert.ok((span.endMs - span.startMs) / span.stepMs <= 241);
  });
});

describe("live data", () => {
  const side = (n) => ({ rate: Array(n).fill(1), error_ratio: Array(n).fill(0), p95: Array(n).fill(null) });
  const trace = (from, n, all, id = 1) => ({
    id,
    all,
    t_ms: Array.from({ length: n }, (_, i) => from + i),
    set: Array(n).fill(0.1),
    actual: Array(n).fill(0.1),
    evidence: Array(n).fill(1),
    rescued: Array(n).fill(0),
    seen: Array(n).fill(0),
    new: side(n),
    old: side(n),
  });
  it("joins points to columns, drops the oldest, starts anew with another rollout", async () => {
    const { joinTrace } = await load("lib/live");
    let t = joinTrace(null, trace(0, 3, true));
    t = joinTrace(t, trace(3, 1, false));
    assert.deepEqual(t.t_ms, [0, 1, 2, 3]);
    for (const key of ["set", "actual", "evidence", "rescued", "seen"]) assert.equal(t[key].length, 4, key);
    for (const key of ["rate", "error_ratio", "p95"]) assert.deepEqual([t.new[key].length, t.old[key].length], [4, 4], key);
    for (let i = 4; i < 3700; i++) t = joinTrace(t, trace(i, 1, false));
    assert.equal(t.t_ms.length, 3600);
    assert.equal(t.t_ms[0], 100);
    assert.equal(t.new.p95.length, 3600);
    assert.deepEqual(joinTrace(t, trace(0, 1, false, 2)).t_ms, [0]);
    assert.deepEqual(joinTrace(t, trace(50, 2, true)).t_ms, [50, 51]);
    // A control that was replaced knows the present alone: what was before stays on the page, each second once.
    const after = joinTrace(t, trace(3690, 5, true));
    assert.deepEqual([after.t_ms[0], after.t_ms.length, new Set(after.t_ms).size], [100, 3595, 3595]);
    assert.equal(after.new.p95.length, 3595);
    assert.equal(joinTrace(t, trace(3800, 0, true)).t_ms.length, 3600);
    assert.deepEqual(joinTrace(t, trace(3800, 1, true, 2)).t_ms, [3800]);
  });
  it("says entries of the journal in words, and those it does not know as they are", async () => {
    const { sentence, toneOfEvent } = await load("lib/events");
    const e = (kind, evidence, more = {}) => ({ id: 1, ts_ms: 0, kind, app: "shop", release: 2, replica: 0, evidence, ...more });
    assert.equal(sentence(e("rollout.weight", { rollout: 4, weight: 0.1 })), "shop: rollout 4: weight set to 10 %");
    assert.equal(sentence(e("rollout.ended", { rollout: 4, outcome: "rolled_back", cause: "evidence" })), "shop: rollout 4 was rolled back: its answers were worse");
    assert.equal(toneOfEvent(e("rollout.ended", { outcome: "rolled_back" })), "bad");
    assert.equal(toneOfEvent(e("rollout.ended", { outcome: "promoted" })), "good");
    assert.equal(sentence(e("replica.died", { reason: "exit status 1" }, { replica: 3 })), "shop: replica 3 died: exit status 1");
    assert.equal(sentence(e("queue.overflow", { depth: 7, since_ms: 3000, list: [1] })), "shop: overflow: release 2, depth 7, since_ms 3 s");
    assert.equal(sentence(e("x.y", null)), "shop: y: release 2");
    assert.equal(sentence(e("x.y", "some text", { app: "", release: 0 })), "y: text some text");
  });
});

describe("dashboards", () => {
  it("puts app and window into a query, whatever the app is called", async () => {
    const { fill } = await load("lib/panels");
    assert.equal(fill('rate(x{app=~"$app"}[$window])', "", "5m"), 'rate(x{app=~".*"}[5m])');
    assert.equal(fill('x{app=~"$app"}', 'a.b"c\\', "5m"), 'x{app=~"a\\\\.b\\"c\\\\\\\\"}');
    assert.equal(fill('label_replace(x, "class", "$1", "code", "(.).*")', "a", "5m"), 'label_replace(x, "class", "$1", "code", "(.).*")');
  });
  it("takes rates over no less than a step and no more than a quarter of the range", async () => {
    const { windowFor } = await load("lib/panels");
    const all = ["1m", "5m", "15m", "1h"];
    const rows = [
      ["5m", 300, 5, "1m"],
      ["5m", 900, 5, "1m"],
      ["15m", 3600, 15, "15m"],
      ["1h", 3600, 120, "15m"],
      ["5m", 240, 5, "1m"],
      ["5m", 3600, 15, "5m"],
      ["1m", 3600, 15, "1m"],
      ["1m", 86_400, 600, "15m"],
      ["1m", 2_592_000, 10_800, "1h"],
    ];
    for (const [own, range, step, want] of rows) assert.equal(windowFor(all, own, range * 1000, step * 1000), want, `${own} ${range} ${step}`);
  });
  it("asks for what is missing alone", async () => {
    const { missing } = await load("lib/board");
    const a = { startMs: 0, stepMs: 10, n: 11, error: null, series: [] };
    const span = (startMs, endMs, stepMs = 10) => ({ startMs, endMs, stepMs });
    assert.equal(missing(a, span(0, 100)), null);
    assert.deepEqual(missing(a, span(10, 110)), { startMs: 90, endMs: 110 });
    assert.deepEqual(missing(a, span(10, 90)), { startMs: 80, endMs: 90 });
    assert.deepEqual(missing(a, span(-10, 100)), { startMs: -10, endMs: 100 });
    assert.deepEqual(missing(a, span(200, 300)), { startMs: 200, endMs: 300 });
    assert.deepEqual(missing(a, span(0, 100, 5)), { startMs: 0, endMs: 100 });
    assert.deepEqual(missing({ ...a, error: "no" }, span(0, 100)), { startMs: 0, endMs: 100 });
  });
  it("a chart made of tails is the chart that is asked for at once", async () => {
    const { joined } = await load("lib/board");
    // Three series: always there, one that ends, one that begins; the newest point is first known wrongly.
    const at = (t, k) => (k === 0 ? t : k === 1 ? (t < 60 ? 1 : null) : t >= 80 ? t * 2 : null);
    const ask = (from, to, late) => {
      const n = (to - from) / 10 + 1;
      const series = [0, 1, 2].map((k) => ({ labels: { k: String(k) }, values: Array.from({ length: n }, (_, i) => (late && from + i * 10 === to ? null : at(from + i * 10, k))) }));
      return { startMs: from, n, result: { error: null, series: series.filter((s) => s.values.some((v) => v !== null)) } };
    };
    const span = (startMs, endMs) => ({ startMs, endMs, stepMs: 10 });
    let a = joined(null, ask(0, 50, true), span(0, 50));
    for (let t = 60; t <= 120; t += 10) a = joined(a, ask(t - 20, t, t < 120), span(t - 50, t));
    assert.deepEqual(a, joined(null, ask(70, 120, false), span(70, 120)));
    assert.deepEqual(a.series.map((s) => s.labels.k), ["0", "2"]);
  });
  it("makes buckets of cumulative ones, and leaves out those that are empty", async () => {
    const { heatOf, heatAt } = await load("lib/panels");
    const s = (le, ...values) => ({ labels: { le }, values });
    const heat = heatOf([s("+Inf", 10, null), s("0.1", 4, null), s("0.5", 10, null), s("0.01", 0, null), s("0.001", 0, null), s("2", 10, null), s("9", 10, null)]);
    assert.deepEqual(heat.edges, [0.01, 0.1, 0.5, 2]);
    assert.deepEqual(heat.rows.map((r) => r[0]), [0, 4, 6, 0]);
    assert.equal(heat.top, 6);
    assert.deepEqual(heatAt(heat, 0, 0.3), { edge: 0.1, sum: 10 });
    assert.deepEqual(heatAt(heat, 0, 0.5), { edge: 0.5, sum: 10 });
    assert.equal(heatAt(heat, 1, 0.5), null);
  });
  it("shows the apps with the highest last value, each with all of its lines", async () => {
    const { topLines } = await load("lib/panels");
    const line = (group, query, v) => ({ group, query, values: [9, v] });
    const lines = [line("a", 0, 1), line("b", 0, 3), line("c", 0, 2), line("a", 1, 900), line("b", 1, 7), line("c", 1, 8), line("other", 2, 0)];
    assert.deepEqual(topLines(lines, 7), lines);
    assert.deepEqual(topLines(lines, 5).map((l) => `${l.group}${l.query}`), ["b0", "c0", "b1", "c1", "other2"]);
  });
  it("makes bands of phases and releases", async () => {
    const { rowsOf } = await load("lib/panels");
    const query = { expr: "", legend: "{{app}} {{arm}}", unit: "release", needs: null };
    const info = (phase, ...values) => ({ labels: { app: "a", rollout: "7", phase, state: "running" }, values });
    const found = [
      { query, series: [info("start", 1, 1, null, null), info("step", null, 1, 1, null)] },
      { query, series: [{ labels: { app: "a", arm: "new" }, values: [4, 4, null, 5] }] },
    ];
    const rows = rowsOf(found, [0, 10, 20, 30], (p) => p);
    assert.deepEqual(rows.map((r) => [r.name, ...r.bands.map((b) => `${b.text} ${b.fromMs}-${b.toMs}`)]), [
      ["a new", "release 4 0-20", "release 5 30-40"],
      ["a rollout", "7 start 0-10", "7 step 10-30"],
    ]);
  });
  it("moves and zooms the range", async () => {
    const { moved, zoomed } = await load("lib/time");
    const hour = 3_600_000;
    const at = 1_000 * hour;
    assert.deepEqual(moved("-1h", "now", at, -1), [String(at - 1.5 * hour), String(at - 0.5 * hour)]);
    assert.deepEqual(moved(String(at - 1.5 * hour), String(at - 0.5 * hour), at, 1), ["-1h", "now"]);
    assert.deepEqual(zoomed("-1h", "now", at, true), ["-6h", "now"]);
    assert.deepEqual(zoomed("-1h", "now", at, false), ["-15m", "now"]);
    assert.deepEqual(zoomed("-30d", "now", at, true), ["-30d", "now"]);
    assert.deepEqual(zoomed(String(at - 4 * hour), String(at - 2 * hour), at, false), [String(at - 3.5 * hour), String(at - 2.5 * hour)]);
    assert.deepEqual(zoomed(String(at - 4 * hour), String(at - 2 * hour), at, true), [String(at - 5 * hour), String(at - hour)]);
  });
});

describe("alerts", () => {
  const group = (app, receiver, last, more = {}) => ({ labels: { app }, receiver: { name: receiver }, alerts: [], nextFlush: "2026-01-02T00:05:00Z", last, ...more });
  const failed = { lastError: "status 503", lastChannel: "oncall/webhook", attempts: 2, failingSince: "2026-01-02T00:00:10Z", nextAttempt: "2026-01-02T00:01:00Z" };
  it("names a receiver that fails once: since the first failure, until the next attempt", async () => {
    const { failing } = await load("lib/alerts");
    assert.deepEqual(failing([group("a", "team", "sent"), group("a", "oncall", "being sent"), group("b", "oncall", "waiting")]), []);
    const earlier = { ...failed, attempts: 5, failingSince: "2026-01-02T00:00:00Z", nextAttempt: null };
    assert.deepEqual(failing([group("a", "team", "nothing new"), group("a", "oncall", "failed", failed), group("b", "oncall", "failed", earlier)]), [
      { receiver: "oncall", groups: 2, channel: "webhook", why: "status 503", attempts: 7, since_ms: Date.parse(earlier.failingSince), next_ms: 0 },
    ]);
  });
  it("takes the next look for the next attempt where nothing more is said", async () => {
    const { failedOf } = await load("lib/alerts");
    assert.equal(failedOf(group("a", "oncall", "failed")).next_ms, Date.parse("2026-01-02T00:05:00Z"));
    assert.equal(failedOf(group("a", "oncall", "sent")), null);
  });
});

describe("people", () => {
  it("have their own names, whatever way they came", async () => {
    const { person } = await load("lib/format");
    assert.deepEqual(["token:ci", "token:a:b", "unix:0", "unix:1000", "kim", "control:x", ""].map(person), ["ci", "a:b", "root", "user 1000", "kim", "control:x", ""]);
  });
});
