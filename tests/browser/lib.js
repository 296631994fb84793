// What the browser tests share: the program under test, a browser with a fresh profile, and pages
// that fail the test when a script fails.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

export const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const REMOTE = process.env.BASE_URL; // set: somebody else runs the app, behind the edge perhaps

export async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

// Starts feedback-app on a free port (or `port`) with a database of its own in `dir`.
export class App {
  static async start({ port, dir, env = {} } = {}) {
    const app = new App();
    app.port = port ?? (await freePort());
    app.dir = dir ?? (await mkdtemp(path.join(tmpdir(), "feedback-browser-")));
    app.url = `http://127.0.0.1:${app.port}`;
    app.child = spawn(path.resolve(process.env.FEEDBACK_APP ?? "../../build/feedback-app"), [], {
      cwd: app.dir,
      env: { ...process.env, PORT: String(app.port), HOST: "127.0.0.1", DATABASE_URL: "sqlite:feedback.db", ...env },
      stdio: ["ignore", "ignore", "inherit"],
    });
    app.exited = new Promise((done) => app.child.once("exit", done));
    await waitHealthy(app.url, app.exited);
    return app;
  }

  async stop(signal = "SIGTERM") {
    this.child.kill(signal);
    await this.exited;
  }

  async remove() {
    await this.stop();
    await rm(this.dir, { recursive: true, force: true });
  }
}

async function waitHealthy(url, exited) {
  const gone = exited.then((code) => {
    throw new Error(`feedback-app ended with ${code} before it was healthy`);
  });
  const healthy = (async () => {
    for (let i = 0; i < 500; i++) {
      try {
        if ((await fetch(`${url}/health`)).ok) return;
      } catch {
        // not listening yet
      }
      await new Promise((done) => setTimeout(done, 20));
    }
    throw new Error(`${url} did not become healthy`);
  })();
  gone.catch(() => {});
  await Promise.race([healthy, gone]);
}

export class Browser {
  static async start(options = {}) {
    const browser = new Browser();
    browser.profile = await mkdtemp(path.join(tmpdir(), "feedback-chromium-"));
    browser.context = await chromium.launchPersistentContext(browser.profile, {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: FLAGS,
      viewport: { width: 1440, height: 900 },
      ...options,
    });
    browser.context.setDefaultTimeout(10_000);
    return browser;
  }

  // A tab on the app; script errors and refused resources are collected in page.problems.
  async tab(url, { path: at = "/", ...media } = {}) {
    const page = await this.context.newPage();
    page.problems = [];
    page.on("pageerror", (error) => page.problems.push(String(error)));
    page.on("console", (line) => {
      if (line.type() === "error" && /Content Security Policy|Refused/.test(line.text())) page.problems.push(line.text());
    });
    if (Object.keys(media).length) await page.emulateMedia(media);
    await page.goto(url + at);
    return page;
  }

  async stop() {
    await this.context.close();
    await rm(this.profile, { recursive: true, force: true });
  }
}

// ---- What a page comes to show: a moment after what makes it do so

export async function until(what, told, seconds = 10) {
  const end = Date.now() + seconds * 1000;
  while (!(await what())) {
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${told}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

export const shown = (page, count) => until(async () => (await page.locator(".feedback-card").count()) === count, `${count} cards`);

// None that fits the selector is to be seen.
export const gone = (page, selector) => until(async () => (await page.locator(selector).filter({ visible: true }).count()) === 0, `no ${selector}`);

// The text as a whole.
export const reads = (page, selector, text) => until(async () => (await page.textContent(selector)) === text, `${selector} reads "${text}"`);

// The focus is on the element whose id or classes have `want`.
export const focusOn = (page, want) =>
  until(() => page.evaluate((w) => (document.activeElement.id || document.activeElement.className).includes(w), want), `the focus on ${want}`);

// ---- What a user does

export const card = (page, text) => page.locator(".feedback-card", { hasText: text });

export async function add(page, text) {
  await page.click('button:has-text("Add Feedback")');
  await page.fill('textarea[name="message"]', text);
  await page.click('button:has-text("Submit")');
  await card(page, text).first().waitFor();
}

// Through the API: empties the database, whoever runs the app.
export async function clear(url) {
  for (;;) {
    const items = await (await fetch(`${url}/feedback?limit=1000`)).json();
    if (items.length === 0) return;
    for (const { id } of items) await fetch(`${url}/feedback/${id}`, { method: "DELETE" });
  }
}

export async function post(url, message) {
  const answer = await fetch(`${url}/feedback`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() },
    body: JSON.stringify({ message }),
  });
  if (answer.status !== 201) throw new Error(`POST answered ${answer.status}: ${await answer.text()}`);
  return answer.json();
}
