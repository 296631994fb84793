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
