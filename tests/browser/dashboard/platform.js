// What the dashboard's tests share: the platform that dashboard.py started, browsers signed in to it, and pages that
// keep whatever went wrong in them.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import { FLAGS } from "../lib.js";

export const ADMIN = process.env.HG_ADMIN;
export const EDGE = process.env.HG_EDGE;
export const HOOK = process.env.HG_HOOK; // where the receivers are webhooks to
export const TOKENS = { viewer: process.env.HG_TOKEN_VIEWER, deployer: process.env.HG_TOKEN_DEPLOYER, admin: process.env.HG_TOKEN_ADMIN };
const KEY = "headgate-token"; // in the page's session storage
const TIMEOUT_MS = 20_000;

export async function headgate(...argv) {
  const { stdout } = await promisify(execFile)(process.env.HEADGATE, ["--data", process.env.HG_DATA, ...argv], { timeout: 30_000 });
  return stdout;
}

// { status, body } of the API.
export async function api(method, path, { role = "admin", token = TOKENS[role], body } = {}) {
  const answer = await fetch(ADMIN + path, {
    method,
    headers: { Authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : null };
}

export async function ok(...asked) {
  const { status, body } = await api(...asked);
  assert.ok(status < 300, `${asked[0]} ${asked[1]}: ${status} ${JSON.stringify(body)}`);
  return body;
}

// Status of a request through the edge, with the path's bytes as they are: fetch would escape them.
export function visit(path) {
  const { hostname, port } = new URL(EDGE);
  return new Promise((done, failed) => {
    http.get({ hostname, port, path, agent: false }, (r) => r.resume().on("end", () => done(r.statusCode))).on("error", failed);
  });
}

export async function until(what, told, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await what();
    if (value) return value;
    if (Date.now() > end) assert.fail(`not within ${seconds} s: ${told}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export const rollout = (id) => ok("GET", `/v1/rollouts/${id}`);

// A rollout of a new release that is on its first step. Each is of another kind: one that was taken back is not
// deployed again.
let made = 1;
export async function deploy(app) {
  const { id } = JSON.parse(await headgate("deploy", app, "--env", `VERSION=${++made}`, "--detach", "--json"));
  await until(async () => ["step", "hold"].includes((await rollout(id)).phase), `rollout ${id} of ${app} at its first step`, 40);
  return id;
}

export async function abort(id) {
  await ok("POST", `/v1/rollouts/${id}/abort`, { body: {} });
  await until(async () => (await rollout(id)).outcome, `the end of rollout ${id}`);
}

// ---- Browsers

let chrome = null;
export const origins = new Set([ADMIN]); // who may be asked
export const asked = []; // every request of every page: { url, headers }

// A profile of its own: nothing is shared with another one.
export async function profile(options = {}) {
  chrome ??= chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  const context = await (await chrome).newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light", ...options });
  context.setDefaultTimeout(TIMEOUT_MS);
  context.on("request", (r) => asked.push({ url: r.url(), headers: r.headers() }));
  return context;
}

export async function closeAll() {
  if (chrome) await (await chrome).close();
}

// A tab that collects script errors, errors on the console and reports of the policy in `problems`; what is expected
// (a refused sign-in, a control that was killed) is told by `expected`.
export async function tab(context, { expected } = {}) {
  const page = await context.newPage();
  page.problems = [];
  const add = (text) => expected?.test(text) || page.problems.push(text);
  page.on("pageerror", (error) => add(`script: ${error.stack ?? error}`));
  page.on("console", (line) => line.type() === "error" && add(`console: ${line.text()} ${line.location().url}`));
  page.on("dialog", (dialog) => (add(`dialog: ${dialog.message()}`), dialog.dismiss()));
  await page.addInitScript(() => addEventListener("securitypolicyviolation", (e) => console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`)));
  page.busy = new Set();
  page.on("request", (r) => /\/v1\/live|follow=1/.test(r.url()) || page.busy.add(r));
  for (const over of ["requestfinished", "requestfailed"]) page.on(over, (r) => page.busy.delete(r));
  // One that was given up while its body came is never told to be over.
  page.on("response", (r) => setTimeout(() => page.busy.delete(r.request()), 2000).unref());
  return page;
}

// A tab that is signed in and shows `hash`. The token is kept as the login page keeps it.
export async function open(context, role, hash = "#/overview", more = {}) {
  const page = await tab(context, more);
  await page.addInitScript(([key, token]) => sessionStorage.getItem(key) ?? sessionStorage.setItem(key, token), [KEY, TOKENS[role] ?? role]);
  await page.goto(`${more.origin ?? ADMIN}/${hash}`);
  await settled(page);
  return page;
}

// Everything that the page asked for has come and is drawn.
export async function settled(page) {
  await page.locator("[data-connection=live]").waitFor();
  await page.locator("main h1").first().waitFor();
  await until(async () => {
    if (page.busy.size) return false;
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    return page.busy.size === 0;
  }, `the page's requests: ${[...page.busy].map((r) => r.url())}`);
}

export async function show(page, hash) {
  await page.evaluate((to) => (location.hash = to), hash);
  await settled(page);
}

export const fine = (page) => assert.deepEqual(page.problems, []);

// What axe-core finds wrong with a page as it is now.
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export async function violations(page) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  const { passes, violations } = await page.evaluate(() => window.axe.run(document, { iframes: false, resultTypes: ["violations", "passes"] }));
  assert.ok(passes.some((p) => p.id === "color-contrast"), "the colours were looked at");
  return violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join("; ")}`);
}

// The pages that the navigation has.
export async function pages(page) {
  return page.locator("nav a[href]:not(.brand)").evaluateAll((links) => links.map((a) => ({ title: a.textContent.trim(), hash: a.getAttribute("href").split("?")[0] })));
}

// One address of each kind of page below a page, of the links on it: #/rollouts/7 but not #/rollouts/8 as well.
export async function below(page, known) {
  const links = await page.locator('main a[href^="#/"]').evaluateAll((all) => all.map((a) => a.getAttribute("href").split("?")[0]));
  const found = new Map();
  for (const link of links) {
    const parts = link.slice(2).split("/");
    const kind = parts.map((part, i) => (i === 1 ? "*" : part)).join("/");
    if (parts.length > 1 && known.includes(`#/${parts[0]}`) && !found.has(kind)) found.set(kind, link);
  }
  return found;
}
