// People on the page: guests, signing in with a second factor, one's own entries, sessions that end.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { App, Browser, add, card, focusOn, gone, reads, shown } from "./lib.js";

const shots = process.env.SCREENSHOTS;
const PROGRAM = path.resolve(process.env.FEEDBACK_APP ?? "../../build/feedback-app");
const PASSWORD = "correct horse battery";
// Texts of n bytes as qrencode 4.1 draws them: n, the mask it chose, modules a side, a hash of the rows.
const KNOWN_QR = [
  [15, 0, 21, "e1cc31f0f52d1e2d"],
  [60, 2, 33, "0513e9ee68422f9b"],
  [118, 2, 41, "fecfae6b96d447f8"],
  [150, 2, 45, "a6652413580f3862"],
  [200, 2, 53, "b9a8844990bb52d6"],
  [271, 2, 57, "5a017997ac8b59a3"],
];
let app, browser, mail;

function addUser(email, role = "user") {
  execFileSync(PROGRAM, ["user", "add", email, "--role", role], {
    cwd: app.dir,
    env: { ...process.env, DATABASE_URL: "sqlite:feedback.db" },
    input: `${PASSWORD}\n`,
  });
}

function totp(secret, at = Date.now()) {
  const bits = [...secret.replace(/[ =]/g, "")].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const mac = createHmac("sha1", key).update(counter).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

// As another program changes it.
const database = (sql) =>
  execFileSync("python3", ["-c", "import sqlite3, sys\nwith sqlite3.connect('feedback.db', timeout=10) as db: db.execute(sys.argv[1])", sql], { cwd: app.dir });

// A mail server that takes everything.
function mailServer() {
  return new Promise((done) => {
    const server = createServer((socket) => {
      let data = false;
      let rest = "";
      socket.on("error", () => {}); // whoever has said QUIT may leave at once
      socket.write("220 mail.example.org\r\n");
      socket.on("data", (bytes) => {
        const lines = (rest + bytes).split("\r\n");
        rest = lines.pop();
        for (const line of lines) {
          if (data && line !== ".") continue;
          data = line === "DATA";
          socket.write(data ? "354 go on\r\n" : line === "QUIT" ? "221 bye\r\n" : "250 ok\r\n");
        }
      });
    });
    server.listen(0, "127.0.0.1", () => done(server));
  });
}

const ENV = () => ({
  AUTH: "optional",
  REGISTER: "open",
  ADMIN_KEY: "operator-key-0123456789",
  NOTIFY_EMAIL: "team@example.org", // a create leaves a job, and nobody works here
  SMTP_URL: `smtp://127.0.0.1:${mail.address().port}`,
  SMTP_STARTTLS: "off",
  MAIL_FROM: "feedback@example.org",
});

before(async () => {
  mail = await mailServer();
  app = await App.start({ env: ENV() });
  browser = await Browser.start();
  if (shots) await mkdir(shots, { recursive: true });
  addUser("ann@example.org");
  addUser("root@example.org", "admin");
});
after(async () => {
  await browser?.stop();
  await app?.remove();
  mail?.close();
});

// A tab whose cookies are its own.
async function withTab(options, body) {
  await browser.context.clearCookies();
  const page = await browser.tab(app.url, options);
  try {
    await body(page);
    assert.deepEqual(page.problems, []);
  } finally {
    await page.close();
  }
}

async function signIn(page, email, password = PASSWORD) {
  await page.click("#account-btn");
  await page.fill("#sign-in-email", email);
  await page.fill("#sign-in-password", password);
  await page.click("#sign-in-submit-btn");
}

const signedInAs = (page, email) => page.locator("#account-btn", { hasText: email }).waitFor();

describe("people", () => {
  test("a guest reads, and is offered nothing he may not do", () =>
    withTab({}, async (page) => {
      await fetch(`${app.url}/feedback`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: "Bearer operator-key-0123456789" },
        body: JSON.stringify({ message: "nobody's" }),
      });
      await page.click("#refresh-btn");
      await card(page, "nobody's").waitFor();
      await page.getByRole("button", { name: "Sign in" }).waitFor();
      await gone(page, "#add-feedback-btn, .edit-btn, .delete-btn, .vote-btn, .status-select");
      await card(page, "nobody's").getByText("0 votes").waitFor();
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("dialog", { name: "Sign in" }).waitFor();
      await focusOn(page, "sign-in-email");
      if (shots) await page.screenshot({ path: `${shots}/sign-in.png` });
      await page.keyboard.press("Escape");
      await focusOn(page, "account-btn");
    }));

  test("a wrong password is told, a right one signs in, and one changes one's own alone", () =>
    withTab({}, async (page) => {
      await signIn(page, "ann@example.org", "wrong, but long enough");
      await page.locator("#sign-in-error", { hasText: "password is wrong" }).waitFor();
      assert.equal(await page.getAttribute("#sign-in-password", "aria-invalid"), "true");
      await page.fill("#sign-in-password", PASSWORD);
      await page.keyboard.press("Enter");
      await signedInAs(page, "ann@example.org");
      await add(page, "of Ann");
      assert.equal(await card(page, "nobody's").locator(".edit-btn:visible").count(), 0);
      assert.equal(await card(page, "nobody's").locator(".delete-btn:visible").count(), 0);
      await page.reload();
      await card(page, "of Ann").getByText("Edit").click(); // known from the server now
      await page.fill('textarea[name="message"]', "still of Ann");
      await page.click('button:has-text("Save")');
      await card(page, "still of Ann").waitFor();
      await page.locator("#feedback-modal").waitFor({ state: "hidden" });
      assert.equal(await card(page, "nobody's").locator(".edit-btn:visible").count(), 0);
      await page.click("#account-btn");
      await page.click("#sign-out-btn");
      await page.getByRole("button", { name: "Sign in" }).waitFor();
      await card(page, "still of Ann").waitFor();
      await gone(page, ".edit-btn, #add-feedback-btn, #notice");
    }));

  test("what is searched is found, and one's own alone on demand", () =>
    withTab({}, async (page) => {
      await page.fill("#search-input", "OF ANN");
      await card(page, "nobody's").waitFor({ state: "detached" });
      await shown(page, 1);
      await reads(page, ".total", "1 found");
      await page.fill("#search-input", "100% <b>");
      await page.locator("#nothing-state").waitFor();
      await gone(page, "#empty-state");
      if (shots) await page.screenshot({ path: `${shots}/nothing.png` });
      await page.click("#search-clear-btn");
      await card(page, "nobody's").waitFor();
      await gone(page, "#mine-part");
      await signIn(page, "ann@example.org");
      await signedInAs(page, "ann@example.org");
      await page.getByLabel("only mine").check();
      await card(page, "nobody's").waitFor({ state: "detached" });
      await card(page, "still of Ann").waitFor();
      if (shots) await page.screenshot({ path: `${shots}/mine.png` });
      await page.click("#refresh-btn");
      await reads(page, ".total", "1 found");
      await page.fill("#search-input", "nowhere");
      await page.locator("#nothing-state").waitFor();
      await add(page, "written while searching"); // is shown
      await card(page, "nobody's").waitFor();
      assert.equal(await page.inputValue("#search-input"), "");
      await card(page, "written while searching").getByText("Delete").click();
      await page.click('button:has-text("Confirm")');
      await card(page, "written while searching").waitFor({ state: "detached" });
    }));

  test("an administrator may change everybody's", () =>
    withTab({}, async (page) => {
      await signIn(page, "root@example.org");
      await signedInAs(page, "root@example.org");
      await card(page, "nobody's").getByText("Edit").click();
      await page.fill('textarea[name="message"]', "nobody's, by root");
      await page.click('button:has-text("Save")');
      await card(page, "nobody's, by root").waitFor();
    }));

  test("people vote, and an administrator says what becomes of it", () =>
    withTab({}, async (page) => {
      const wish = card(page, "nobody's, by root");
      await signIn(page, "ann@example.org");
      await signedInAs(page, "ann@example.org");
      await wish.locator(".vote-btn").click();
      await page.locator("#toast.show", { hasText: "You have voted: 1 vote" }).waitFor();
      assert.equal(await page.locator(".status-select:visible, .status-badge:visible").count(), 0);
      await page.click("#account-btn");
      await page.click("#sign-out-btn");
      await page.getByRole("button", { name: "Sign in" }).waitFor();
      await wish.getByText("1 vote").waitFor(); // everybody sees how many, and nobody whose
      await signIn(page, "root@example.org");
      await signedInAs(page, "root@example.org");
      await wish.locator('.vote-btn[aria-pressed="false"]').waitFor(); // it is Ann's
      await wish.getByRole("combobox", { name: /^Status of feedback \d+$/ }).selectOption("in_progress");
      await page.locator("#toast.show", { hasText: "in progress" }).waitFor();
      await page.selectOption("#status-input", "in_progress");
      await shown(page, 1);
      await reads(page, ".total", "1 found");
      if (shots) await page.screenshot({ path: `${shots}/status-admin.png` });
      await page.click("#account-btn");
      await page.click("#sign-out-btn");
      await page.getByRole("button", { name: "Sign in" }).waitFor();
      await wish.locator(".status-badge", { hasText: "In progress" }).waitFor();
      await page.selectOption("#status-input", "");
      await card(page, "of Ann").waitFor();
      await card(page, "of Ann").locator(".status-badge:visible").waitFor({ state: "detached" }); // open needs no word
      if (shots) await page.screenshot({ path: `${shots}/status.png` });
      // whose session has ended elsewhere is asked to sign in, and the count is what it was
      await signIn(page, "ann@example.org");
      await signedInAs(page, "ann@example.org");
      await wish.locator('.vote-btn[aria-pressed="true"]').waitFor();
      database("DELETE FROM sessions");
      await new Promise((done) => setTimeout(done, 5_200)); // as long as a look-up counts
      await wish.locator(".vote-btn").click();
      await page.locator("#sign-in-modal[open], #notice:visible").first().waitFor();
      await wish.locator(".vote-count", { hasText: "1" }).waitFor({ state: "attached" });
    }));

  test("a second factor is set up with a code to scan, asked for, and a recovery code is as good once", () =>
    withTab({}, async (page) => {
      // registering is open here
      await page.click("#account-btn");
      await page.click("#sign-in-switch-btn");
      await page.getByRole("dialog", { name: "Create an account" }).waitFor();
      await page.fill("#sign-in-email", "tom@example.org");
      await page.fill("#sign-in-password", "short");
      await page.click("#sign-in-submit-btn");
      await page.locator("#sign-in-error", { hasText: "10 characters" }).waitFor();
      await page.fill("#sign-in-password", PASSWORD);
      await page.click("#sign-in-submit-btn");
      await signedInAs(page, "tom@example.org");
      await page.click("#account-btn");
      await page.click("#totp-on-btn");
      const secret = (await page.locator("#totp-secret:not(:empty)").textContent()).replaceAll(" ", "");
      const uri = await page.getAttribute("#totp-uri", "href");
      assert.match(uri, new RegExp(`^otpauth://totp/.*secret=${secret}`));
      await page.getByRole("img", { name: /^QR code/ }).waitFor();
      if (shots) await page.screenshot({ path: `${shots}/totp.png` });
      await page.fill("#totp-code", "000000");
      await page.click("#totp-confirm-btn");
      await page.locator("#account-error", { hasText: "code is wrong" }).waitFor();
      const at = Date.now();
      await page.fill("#totp-code", totp(secret, at));
      await page.click("#totp-confirm-btn");
      await page.locator("#recovery-list li").nth(9).waitFor();
      const codes = await page.locator("#recovery-list li").allTextContents();
      assert.match(codes[0], /^[a-z2-7]{4}(-[a-z2-7]{4}){3}$/);
      if (shots) await page.screenshot({ path: `${shots}/recovery.png` });
      await page.click("#account-modal [data-close]");
      await page.locator("#recovery-list li").first().waitFor({ state: "detached" }); // shown once
      await page.click("#account-btn");
      await page.click("#sign-out-btn");
      await page.getByRole("button", { name: "Sign in" }).waitFor();

      await signIn(page, "tom@example.org");
      await page.locator("#sign-in-code").waitFor();
      await focusOn(page, "sign-in-code");
      await page.fill("#sign-in-code", totp(secret, at)); // each code counts once
      await page.click("#sign-in-submit-btn");
      await page.locator("#sign-in-error", { hasText: "code is wrong" }).waitFor();
      await page.fill("#sign-in-code", totp(secret, at + 30_000)); // the next one counts already
      await page.click("#sign-in-submit-btn");
      await signedInAs(page, "tom@example.org");
      await page.click("#account-btn");
      await page.click("#sign-out-btn");
      await page.getByRole("button", { name: "Sign in" }).waitFor();
      await signIn(page, "tom@example.org");
      await page.fill("#sign-in-code", codes[3]);
      await page.keyboard.press("Enter");
      await signedInAs(page, "tom@example.org");
    }));

  test("API keys are shown once, work, and are revoked", () =>
    withTab({}, async (page) => {
      await signIn(page, "ann@example.org");
      await signedInAs(page, "ann@example.org");
      await page.click("#account-btn");
      await page.locator("#key-none").waitFor();
      await page.fill("#key-name", "<img src=x> of a script");
      await page.check("#key-read");
      await page.click("#key-make-btn");
      const key = await page.locator("#key-text:not(:empty)").textContent();
      const use = (method) =>
        fetch(`${app.url}/feedback`, {
          method,
          headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
          body: method === "POST" ? '{"message":"x"}' : undefined,
        });
      assert.equal((await use("GET")).status, 200);
      assert.equal((await use("POST")).status, 403); // it only reads
      const line = page.locator("#key-list li", { hasText: "<img src=x> of a script" });
      await line.waitFor();
      if (shots) await page.screenshot({ path: `${shots}/keys.png` });
      await line.getByRole("button").click();
      await line.getByRole("button", { name: /^Really revoke/ }).click();
      await line.waitFor({ state: "detached" });
      assert.equal((await use("GET")).status, 401);
      await page.click("#account-modal [data-close]");
      // The browser tells the page a moment later.
      await page.locator("#key-text:empty").waitFor({ state: "attached" });
    }));

  test("a session that was ended elsewhere is told, and what was typed stays", () =>
    withTab({}, async (page) => {
      await signIn(page, "ann@example.org");
      await signedInAs(page, "ann@example.org");
      await page.click("#add-feedback-btn");
      await page.fill('textarea[name="message"]', "written before the end");
      await page.evaluate(async () => {
        const { csrf } = await (await fetch("/auth/session")).json();
        await fetch("/auth/logout", { method: "POST", headers: { "X-CSRF-Token": csrf } });
      });
      await page.click("#submit-btn");
      await page.getByRole("dialog", { name: "Sign in" }).waitFor();
      await page.locator("#sign-in-why", { hasText: "session has ended" }).waitFor();
      await page.locator("#notice", { hasText: "session has ended" }).waitFor();
      await page.fill("#sign-in-email", "ann@example.org");
      await page.fill("#sign-in-password", PASSWORD);
      await page.click("#sign-in-submit-btn");
      await page.locator("#sign-in-modal").waitFor({ state: "hidden" });
      assert.equal(await page.inputValue('textarea[name="message"]'), "written before the end");
      await page.click("#submit-btn");
      await card(page, "written before the end").waitFor();
      await gone(page, "#notice");
      // signed in again in another tab: the token is another, the wish goes on
      await page.evaluate(async (password) => {
        const { csrf } = await (await fetch("/auth/session")).json();
        await fetch("/auth/login", {
          method: "POST",
          headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
          body: JSON.stringify({ email: "ann@example.org", password }),
        });
      }, PASSWORD);
      await add(page, "with the new token");
    }));

  test("where only people see anything, the page says so and shows it once one has signed in", async () => {
    await app.stop();
    app = await App.start({ port: app.port, dir: app.dir, env: { ...ENV(), AUTH: "required" } });
    try {
      await withTab({}, async (page) => {
        await page.locator("#closed-state").waitFor();
        await gone(page, "#empty-state, #loading-state, #away-banner, #search-form");
        await shown(page, 0);
        await page.click("#closed-sign-in-btn");
        await page.fill("#sign-in-email", "ann@example.org");
        await page.fill("#sign-in-password", PASSWORD);
        await page.keyboard.press("Enter");
        await card(page, "nobody's").waitFor();
        await gone(page, "#closed-state");
        await page.click("#account-btn");
        await page.click("#sign-out-btn");
        await page.locator("#closed-state").waitFor();
        await shown(page, 0); // nothing of it stays
      });
    } finally {
      await app.stop();
      app = await App.start({ port: app.port, dir: app.dir, env: ENV() });
    }
  });

  test("a provider's refusal is told, and its button is a link", () =>
    withTab({ path: "/?sign_in=refused" }, async (page) => {
      await page.locator("#notice", { hasText: "may not sign in here" }).waitFor();
      assert.equal(new URL(page.url()).search, "");
      await page.evaluate(() => takeSession({ ...session, permissions: [...session.permissions], providers: [{ name: "<b>Work</b>", start: "/auth/oidc/start" }] }));
      await page.click("#notice-sign-in-btn");
      const link = page.getByRole("link", { name: "Sign in with <b>Work</b>" });
      assert.equal(await link.getAttribute("href"), "/auth/oidc/start");
    }));

  test("administration: jobs, people, the audit log and mail", () =>
    withTab({}, async (page) => {
      await page.goto(`${app.url}/admin`);
      await page.locator("#closed").waitFor(); // a guest sees nothing of it
      await gone(page, "#views, #jobs-view");
      if (shots) await page.screenshot({ path: `${shots}/admin-closed.png` });
      await page.goto(app.url);
      await signIn(page, "root@example.org");
      await signedInAs(page, "root@example.org");
      await add(page, "leaves a mail");
      database("UPDATE jobs SET state = 'dead', error = '<b>550 no such user</b>', attempt = 10, finished_at = 1");
      await page.click("#account-btn");
      await page.getByRole("link", { name: "Administration" }).click();
      const job = page.locator("#jobs-rows tr", { hasText: "<b>550 no such user</b>" }).first();
      await job.waitFor();
      const before = await page.locator("#jobs-rows tr").count();
      if (shots) await page.screenshot({ path: `${shots}/admin-jobs.png` });
      await job.getByRole("button", { name: /^Retry/ }).click();
      await page.locator("#toast.show", { hasText: "is tried again" }).waitFor();
      await page.waitForFunction((n) => document.querySelectorAll("#jobs-rows [aria-label^='Retry']").length === n - 1, before);
      await page.selectOption("#jobs-state", "available");
      await page.locator("#jobs-rows .state", { hasText: "available" }).first().waitFor();
      database("UPDATE jobs SET state = 'dead', finished_at = 1");
      await page.selectOption("#jobs-state", "dead");
      await page.getByRole("button", { name: "Delete all that are dead" }).click();
      await page.getByRole("button", { name: "Really delete all that are dead" }).click();
      await page.locator("#jobs-rows", { hasText: "There is none." }).waitFor();

      await page.getByRole("link", { name: "People" }).click();
      await focusOn(page, "people-title");
      const bob = page.locator("#people-rows tr", { hasText: "bob@example.org" });
      await page.fill("#people-email", "bob@example.org");
      await page.fill("#people-password", PASSWORD);
      await page.click("#people-form button");
      await bob.waitFor();
      await bob.evaluate((row) => (row.dataset.old = ""));
      await bob.getByLabel("Role of bob@example.org").selectOption("guest");
      await page.locator("#toast.show", { hasText: "bob@example.org: is guest now" }).waitFor();
      await page.locator("#people-rows tr:not([data-old])", { hasText: "bob@example.org" }).waitFor(); // read anew
      await bob.getByRole("button", { name: /^Disable/ }).click();
      await bob.getByRole("button", { name: /^Really disable/ }).click();
      await bob.getByText("disabled").waitFor();
      const root = page.locator("#people-rows tr", { hasText: "root@example.org" });
      assert.equal(await root.getByRole("combobox").isDisabled(), true); // not oneself
      assert.equal(await root.getByRole("button", { name: /^Disable/ }).count(), 0);
      if (shots) await page.screenshot({ path: `${shots}/admin-people.png` });
      await page.fill("#people-email", "not an address");
      await page.click("#people-form button");
      await page.locator("#problem:not(:empty)").waitFor();

      await page.getByRole("link", { name: "Audit log" }).click();
      await page.locator("#audit-rows tr", { hasText: "user.change" }).first().waitFor();
      assert.match(await page.locator("#audit-rows tr", { hasText: "user.change" }).first().textContent(), /root@example.org by session.*disabled/);
      if (shots) await page.screenshot({ path: `${shots}/admin-audit.png` });

      await page.getByRole("link", { name: "Mail" }).click();
      await page.fill("#mail-to", "you@example.org");
      await page.click("#mail-btn");
      await page.locator("#mail-result", { hasText: "has taken the mail" }).waitFor();
      assert.match(await page.textContent("#mail-dialogue"), /RCPT TO:<you@example.org>[^]*250/);
      if (shots) await page.screenshot({ path: `${shots}/admin-mail.png` });
      await page.setViewportSize({ width: 320, height: 640 });
      for (const name of ["jobs", "people", "audit", "mail"]) {
        await page.click(`a[href="#${name}"]`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(wide <= 0, `${name}: ${wide} px too wide`);
      }
      if (shots) await page.screenshot({ path: `${shots}/admin-320.png` });
    }));

  test("the operator's key opens it, and stays in the window", () =>
    withTab({ path: "/admin" }, async (page) => {
      await page.fill("#operator-key", "not the operator's key");
      await page.keyboard.press("Enter");
      await page.locator("#problem", { hasText: "not the operator's key" }).waitFor();
      await page.fill("#operator-key", "operator-key-0123456789");
      await page.keyboard.press("Enter");
      await page.locator("#jobs-view").waitFor();
      assert.equal(await page.textContent("#who"), "operator");
      assert.equal(await page.evaluate(() => Object.keys(localStorage).length + Object.keys(sessionStorage).length + document.cookie.length), 0);
      await page.reload();
      await page.locator("#closed").waitFor();
    }));

  test("the dialogs fit 320 pixels in light and dark", async () => {
    for (const colorScheme of ["light", "dark"])
      await withTab({ colorScheme }, async (page) => {
        await page.setViewportSize({ width: 320, height: 640 });
        await signIn(page, "root@example.org");
        await signedInAs(page, "root@example.org");
        await page.locator("#toast.show").waitFor({ state: "detached" }).catch(() => {});
        const wide = (what) => page.evaluate((selector) => {
          const e = selector ? document.querySelector(selector) : document.documentElement;
          return e.scrollWidth - (selector ? e.clientWidth : window.innerWidth);
        }, what);
        if (shots) await page.screenshot({ path: `${shots}/people-${colorScheme}-320.png` });
        assert.ok((await wide(null)) <= 0);
        await page.click("#account-btn");
        await page.click("#totp-on-btn");
        await page.locator("#totp-qr svg").waitFor();
        assert.ok((await wide("#account-modal")) <= 0);
        if (shots) await page.screenshot({ path: `${shots}/account-${colorScheme}-320.png` });
      });
  });

  test("what the QR code says is what a reader reads", () =>
    withTab({}, async (page) => {
      const digest = (text, mask) =>
        page.evaluate(async ([t, m]) => {
          const rows = qrCode(t, m).map((row) => row.map(Number).join("")).join("\n");
          const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(rows)));
          return [rows.indexOf("\n"), [...hash.slice(0, 8)].map((b) => b.toString(16).padStart(2, "0")).join("")];
        }, [text, mask]);
      for (const [n, mask, size, hash] of KNOWN_QR) assert.deepEqual(await digest("otpauth://totp/".padEnd(n, "aB3/?=&"), mask), [size, hash]);
      assert.equal(await page.evaluate(() => qrCode("x".repeat(272))), null);
    }));
});
