// See bench/ui. Prints a table as the other benchmarks do.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { chromium } from "../tests/browser/node_modules/playwright-core/index.mjs";
import { options, startMock } from "../tests/browser/dashboard/mock.mjs";

const DIST = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../web/dist");
const ROUNDS = 5;
const SPEED = 60;
const WARM_S = 20; // buffers are filled, code is compiled
const STREAM_S = 15;
const TALL = { width: 1440, height: 3200 }; // every panel of a dashboard can be seen
const WIDE = { width: 1440, height: 900 };

const sleep = (s) => new Promise((done) => setTimeout(done, s * 1000));
const sorted = (list) => [...list].sort((a, b) => a - b);
const quantile = (list, q) => sorted(list)[Math.min(list.length - 1, Math.floor(q * list.length))];
const median = (list) => quantile(list, 0.5);
const ms = (v) => `${Math.round(v)} ms`;

const rows = [];
const say = (what, value, more = "") => rows.push(`| ${what} | ${value} | ${more} |`);

function size() {
  const files = readdirSync(DIST, { recursive: true, withFileTypes: true }).filter((f) => f.isFile());
  const sizes = files.map((f) => gzipSync(readFileSync(path.join(f.parentPath ?? f.path, f.name)), { level: 9 }).length);
  return sizes.reduce((a, b) => a + b, 0);
}

// What control sends, by the unit test that counts it.
function streamBytes() {
  const program = path.join(process.env.BUILD ?? path.resolve(DIST, "../../build"), "tests/unit/unit_face_api_live_many");
  const told = execFileSync(program, { encoding: "utf8" });
  const [, first, some, all] = /1 app.*: (\d+) bytes at first;.* and (\d+) bytes a reader when 10 changed.* and (\d+) bytes when all did/.exec(told);
  say("stream: an app of 1,000 replicas, of which 10 change a second", `${some} B/s`, `for each reader; ${first} B at first, ${all} B/s when all change`);
}

async function open(browser, url, hash, viewport) {
  const context = await browser.newContext({ viewport });
  const page = await context.newPage();
  await page.addInitScript(() => sessionStorage.setItem("headgate-token", "hgt_bench"));
  page.on("pageerror", (e) => {
    throw e;
  });
  await page.goto(`${url}/${hash}`, { waitUntil: "commit" });
  return page;
}

// Milliseconds since the navigation began until `seen` is true in a frame that was drawn.
function until(page, seen) {
  return page.waitForFunction(seen, null, { polling: "raf", timeout: 60_000 }).then(() => page.evaluate(() => performance.now()));
}

async function medianOf(browser, url, hash, viewport, seen) {
  const took = [];
  for (let i = 0; i < ROUNDS; i++) {
    const page = await open(browser, url, hash, viewport);
    took.push(await until(page, seen));
    await page.context().close();
  }
  return median(took);
}

// Time between frames, in milliseconds, over some seconds.
function frames(page, seconds) {
  return page.evaluate(
    (end) =>
      new Promise((done) => {
        const list = [];
        let last = performance.now();
        const stop = last + end;
        const frame = (now) => {
          list.push(now - last);
          last = now;
          if (now < stop) requestAnimationFrame(frame);
          else done(list.slice(1));
        };
        requestAnimationFrame(frame);
      }),
    seconds * 1000,
  );
}

const frameText = (list) => [
  `median ${median(list).toFixed(1)} ms, 95 % ${quantile(list, 0.95).toFixed(1)} ms, 99 % ${quantile(list, 0.99).toFixed(1)} ms, longest ${Math.max(...list).toFixed(0)} ms`,
  `${list.length} frames, ${list.filter((v) => v > 50).length} longer than 50 ms`,
];

const allDrawn = () => {
  const panels = [...document.querySelectorAll("[data-panel]")];
  return panels.length > 0 && panels.every((p) => p.dataset.state !== "asking");
};

async function dashboards(browser) {
  const mock = await startMock(options([]));
  try {
    let panels = 0;
    let sum = 0;
    for (const name of ["application", "canary", "infrastructure"]) {
      const took = await medianOf(browser, mock.url, `#/dashboards/${name}`, TALL, allDrawn);
      const page = await open(browser, mock.url, `#/dashboards/${name}`, TALL);
      await until(page, allDrawn);
      const n = await page.locator("[data-panel]").count();
      await page.context().close();
      panels += n;
      sum += took;
      say(`${name}: from opening to all ${n} panels drawn, 1 h`, ms(took), `median of ${ROUNDS}; a new browser context each`);
    }
    say(`all ${panels} panels, one dashboard after the other`, ms(sum), "sum of the three");
  } finally {
    mock.stop();
  }
}

async function firstRow(browser) {
  for (const apps of [12, 1000]) {
    const mock = await startMock(options(["--apps", apps]));
    try {
      const took = await medianOf(browser, mock.url, "#/overview", WIDE, () => !!document.querySelector("table.apps tbody tr"));
      say(`overview, ${apps} apps: first row`, ms(took), `median of ${ROUNDS}; signed in, nothing cached`);
    } finally {
      mock.stop();
    }
  }
}

async function logs(browser) {
  const mock = await startMock(options(["--lines-per-second", 1000]));
  try {
    const page = await open(browser, mock.url, "#/logs", WIDE);
    await page.waitForSelector("nav a[aria-current]");
    if (!(await page.locator('nav a[aria-current][href^="#/logs"]').count())) return say("logs, 1,000 lines/s", "–", "this page has no logs");
    await page.waitForSelector("main [data-row], main [role=row]", { timeout: 30_000 });
    await sleep(2);
    say("logs: frames while 1,000 lines/s stream in", ...frameText(await frames(page, STREAM_S)));
    await page.context().close();
  } finally {
    mock.stop();
  }
}

// All that a page holds: a million lines, looked through by leaps and bounds while more come.
async function millionLines(browser) {
  const mock = await startMock(options(["--lines-per-second", 1000]));
  try {
    const page = await open(browser, mock.url, "#/logs", WIDE);
    const all = page.getByRole("button", { name: "Load all of this time" });
    await all.waitFor({ timeout: 30_000 });
    const held = () => Number(document.querySelector(".loglist")?.getAttribute("aria-rowcount") ?? 0) >= 950_000; // when it is full, the oldest go in blocks
    const began = Date.now();
    await all.click();
    await page.waitForFunction(held, null, { polling: 500, timeout: 180_000 });
    const count = Number(await page.locator(".loglist").getAttribute("aria-rowcount")) - 1;
    say("logs: a million lines loaded", `${((Date.now() - began) / 1000).toFixed(1)} s`, `${count} lines, made by the stand-in meanwhile`);
    const scrolling = (how) => page.evaluate((by) => {
      const box = document.querySelector(".loglist .vbody");
      let n = 0;
      window.scroller = setInterval(() => (box.scrollTop = by === "leaps" ? (++n * 7919 * 997) % box.scrollHeight : box.scrollTop - 400), 16);
    }, how);
    for (const [how, what] of [["steps", "400 px a frame"], ["leaps", "to somewhere else each frame"]]) {
      await scrolling(how);
      const list = await frames(page, STREAM_S / 2);
      const drawn = await page.locator("main [data-row]").count();
      await page.evaluate(() => clearInterval(window.scroller));
      say(`logs: frames while a million lines are scrolled, ${what}`, ...frameText(list).map((text, i) => (i ? `${text}; ${drawn} rows in the document` : text)));
    }
    await page.context().close();
  } finally {
    mock.stop();
  }
}

async function memory(cdp) {
  // Twice: what finalizers let go of is found by the second one.
  await cdp.send("HeapProfiler.collectGarbage");
  await cdp.send("HeapProfiler.collectGarbage");
  const { metrics } = await cdp.send("Performance.getMetrics");
  const of = (name) => metrics.find((m) => m.name === name).value;
  return { heap: of("JSHeapUsedSize"), nodes: of("Nodes"), listeners: of("JSEventListeners") };
}

async function liveCharts(browser, minutes) {
  const mock = await startMock(options(["--speed", SPEED]));
  try {
    const page = await open(browser, mock.url, "#/dashboards/application", TALL);
    await until(page, allDrawn);
    const cdp = await page.context().newCDPSession(page);
    await cdp.send("Performance.enable");
    await sleep(WARM_S);
    const before = await memory(cdp);
    const part = (minutes * 60) / SPEED / 2;
    const list = await frames(page, part);
    const middle = await memory(cdp);
    await sleep(part);
    const after = await memory(cdp);
    say(`live charts at ${SPEED} times the speed: frames`, ...frameText(list));
    const mib = (v) => (v / 1048576).toFixed(2);
    say(
      `live charts: heap after warm-up, ${minutes / 2} and ${minutes} minutes`,
      `${mib(before.heap)}, ${mib(middle.heap)}, ${mib(after.heap)} MiB`,
      `after a collection; nodes ${before.nodes}, ${middle.nodes}, ${after.nodes}; listeners ${before.listeners}, ${middle.listeners}, ${after.listeners}`,
    );
    await page.context().close();
  } finally {
    mock.stop();
  }
}

const at = process.argv.indexOf("--minutes");
const minutes = at > 0 ? Number(process.argv[at + 1]) : 60;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--headless", "--no-sandbox", "--disable-gpu"] });
try {
  say("size of the page, all files, gzip -9", `${size()} B`, "limit 100,000 B");
  streamBytes();
  await firstRow(browser);
  await dashboards(browser);
  await logs(browser);
  await millionLines(browser);
  await liveCharts(browser, minutes);
} finally {
  await browser.close();
}
console.log(
  `Chromium, headless, before \`tests/browser/dashboard/mock.mjs\`; the stand-in and the browser share the machine.\n\n| what | | |\n| --- | --- | --- |\n${rows.join("\n")}`,
);
