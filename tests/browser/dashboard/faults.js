// What goes wrong around the page: answers that come late, not at all or with a problem, roles that change, buttons that
// go away under the focus. From the stand-in, which can be told to fail.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { options, startMock } from "./mock.mjs";
import { fine, open, origins, profile, settled, show, TOKENS, until } from "./platform.js";

const EXPECTED = /status of (401|404|503)|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_FAILED/;
const frames = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
const focused = (page) => page.evaluate(() => document.activeElement.dataset.silence ?? document.activeElement.tagName);
const dialogs = (page) => page.locator("dialog[open]").count();

describe("when things go wrong", () => {
  let mock, context, page;
  const start = async (hash, more = {}) => {
    page = await open(context, "admin", hash, { origin: mock.url, expected: EXPECTED, ...more });
    return page;
  };
  before(async () => {
    mock = await startMock(options(["--replicas", "1000", "--rollouts", "200"]));
    origins.add(mock.url);
    context = await profile();
  });
  after(async () => {
    await context.close();
    mock.stop();
  });

  it("an address of a rollout that there never was says so, and the rest is live", async () => {
    page = await open(context, "viewer", "#/rollouts/999999", { expected: EXPECTED });
    assert.equal(await page.locator("main h1").innerText(), "Rollout 999999");
    await page.locator("main .trouble", { hasText: "999999" }).waitFor();
    assert.equal(await page.locator(".banner").count(), 0);
    await show(page, "#/overview");
    await page.locator("table.apps tbody tr").first().waitFor();
    fine(page);
    await page.close();
  });

  it("says what was answered when there is no room for another stream", async () => {
    await start("#/overview");
    await page.route("**/v1/live*", (route) => route.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ title: "busy", status: 503, detail: "64 event streams are open already" }) }));
    mock.cut();
    await page.locator(".banner", { hasText: "64 event streams are open already" }).waitFor();
    assert.doesNotMatch(await page.locator(".banner").innerText(), /does not answer/);
    await page.unroute("**/v1/live*");
    await page.locator(".banner").waitFor({ state: "detached" });
    await settled(page);
    fine(page);
    await page.close();
  });

  it("a role that was taken away takes its buttons along", async () => {
    await start("#/apps/checkout");
    await page.getByRole("button", { name: "Restart" }).waitFor();
    mock.state.role = "viewer";
    mock.cut();
    await page.locator(".who .role", { hasText: "viewer" }).waitFor();
    await page.getByRole("button", { name: "Restart" }).waitFor({ state: "detached" });
    mock.state.role = "admin";
    mock.cut();
    await page.getByRole("button", { name: "Restart" }).waitFor();
    fine(page);
    await page.close();
  });

  it("an answer for somebody who has signed out is not for who signs in", async () => {
    page = await open(context, "viewer", "#/overview", { expected: EXPECTED });
    let held = null;
    await page.route("**/v1/session", (route) => (route.request().headers().authorization?.endsWith(TOKENS.admin) ? void (held = route) : route.continue()));
    await page.evaluate(([key, token]) => sessionStorage.setItem(key, token), ["headgate-token", TOKENS.admin]);
    await page.reload();
    await until(() => held, "the admin's session to be asked for");
    await page.evaluate(() => (location.hash = "#/login"));
    await page.getByLabel("Token").fill(TOKENS.viewer);
    await page.keyboard.press("Enter");
    await settled(page);
    await held.continue().catch(() => {}); // it may have been given up
    await page.evaluate(() => fetch("/v1/session").then((r) => r.text()));
    await frames(page);
    assert.equal(await page.locator(".who .role").innerText(), "viewer");
    await page.close();
  });

  it("asks nothing on another page, nor of whoever signs in next", async () => {
    await start("#/overview");
    await show(page, "#/apps/checkout");
    await page.keyboard.press("s");
    await page.getByRole("dialog", { name: /^How many replicas/ }).waitFor();
    await page.goBack();
    await page.locator("main h1", { hasText: "Overview" }).waitFor();
    await page.locator("dialog").waitFor({ state: "detached" });
    await page.goForward();
    await settled(page);
    await page.keyboard.press("x");
    await page.getByRole("dialog", { name: /^Restart/ }).waitFor();
    mock.state.refused = true;
    mock.cut();
    await page.getByLabel("Token").waitFor();
    mock.state.refused = false;
    mock.state.role = "viewer";
    await page.getByLabel("Token").fill("hgt_another");
    await page.keyboard.press("Enter");
    await settled(page);
    assert.equal(await dialogs(page), 0);
    mock.state.role = "admin";
    fine(page);
    await page.close();
  });

  it("a dialog can be left while its answer does not come, and the focus is where it was", async () => {
    await start("#/apps/checkout");
    let held = null;
    await page.route("**/restart", (route) => void (held = route));
    await page.getByRole("button", { name: "Restart" }).focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: /^Restart/ });
    await dialog.waitFor();
    await page.keyboard.press("Enter");
    await until(() => held, "the restart to be asked for");
    await dialog.locator("form[aria-busy=true]").waitFor();
    assert.ok(await page.evaluate(() => document.querySelector("dialog").contains(document.activeElement)), "the focus stays in the dialog");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Restart");
    await held.abort();
    fine(page);
    await page.close();
  });

  it("keeps the focus in the row whose button went away with what was done", async () => {
    await start("#/alerts?view=silences");
    const row = page.locator("tr[data-silence=s1]");
    await row.getByRole("button", { name: /^End/ }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: /^End this silence/ }).waitFor();
    await page.keyboard.press("Enter");
    await row.locator(".state", { hasText: "ended" }).waitFor();
    await until(async () => (await focused(page)) === "s1", "the focus on the row");
    fine(page);
    await page.close();
  });

  it("a rollout that ended has no keys to steer it", async () => {
    const quick = await startMock(options(["--speed", "20"]));
    origins.add(quick.url);
    page = await open(context, "admin", "#/rollouts/42", { origin: quick.url, expected: EXPECTED });
    await page.locator("[data-verdict=rolled_back]").waitFor();
    await frames(page);
    await page.keyboard.press("?");
    const help = await page.getByRole("dialog", { name: "Keyboard" }).innerText();
    assert.doesNotMatch(help, /promote|abort/);
    await page.keyboard.press("?");
    await page.keyboard.press("a");
    await frames(page);
    assert.equal(await dialogs(page), 0);
    fine(page);
    await page.close();
    quick.stop();
  });

  it("is told of the verdict, also when something else came behind it", async () => {
    await start("#/overview");
    mock.say({ kind: "rollout.back", app: "checkout", evidence: { rollout: 77, cause: "evidence" } }, { kind: "replica.stopped", app: "checkout", replica: 4, evidence: { exit: "exit status 0" } });
    await page.locator("[data-announcer]", { hasText: "checkout: rollout 77 goes back: its answers were worse" }).waitFor();
    fine(page);
    await page.close();
  });

  it("reads a list to its end while there is news of it all the time", async () => {
    await start("#/overview");
    let asked = 0;
    await page.route("**/v1/rollouts?*", async (route) => {
      asked++;
      await new Promise((done) => setTimeout(done, 700));
      await route.continue().catch(() => {});
    });
    const news = setInterval(() => mock.say({ kind: "rollout.weight" }), 100);
    try {
      await page.evaluate(() => (location.hash = "#/rollouts"));
      await page.locator(".vrow").first().waitFor();
      await until(() => asked >= 3, "it to be asked again");
      assert.ok(asked < 12, `${asked} times`);
    } finally {
      clearInterval(news);
    }
    fine(page);
    await page.close();
  });

  it("says that Headgate does not answer, and not what a browser calls it", async () => {
    await start("#/overview");
    await page.route("**/v1/incidents*", (route) => route.abort());
    await page.evaluate(() => (location.hash = "#/incidents"));
    const trouble = page.locator("main .trouble");
    await trouble.waitFor();
    assert.match(await trouble.innerText(), /^Headgate does not answer/);
    await page.unroute("**/v1/incidents*");
    await trouble.getByRole("button", { name: "Try again" }).click();
    await trouble.waitFor({ state: "detached" });
    await page.close();
  });

  it("of a thousand replicas the one that is not well comes first", async () => {
    await start("#/apps");
    const bad = page.locator('tr[data-app="feedback"] .blocks li').first();
    assert.equal(await bad.getAttribute("data-replica"), "951");
    assert.equal(await bad.getAttribute("data-state"), "backoff");
    await show(page, "#/apps/feedback");
    const rows = page.locator(".replicas tbody tr");
    await rows.nth(199).waitFor();
    assert.equal(await rows.count(), 200);
    assert.equal(await rows.first().getAttribute("data-replica"), "951");
    // News are of some replicas, and all the others stay.
    const cells = () => page.locator('.replicas td[data-label="in flight"]').allInnerTexts();
    const before = await cells();
    await until(async () => (await cells()).some((n, i) => n !== before[i]), "news of a replica");
    assert.equal((await cells()).length, 200);
    await page.getByRole("link", { name: /^show all 1.000$/ }).click();
    await rows.nth(999).waitFor();
    assert.equal(await rows.first().getAttribute("data-replica"), "1");
    fine(page);
    await page.close();
  });

  it("what needs somebody comes first", async () => {
    await start("#/overview");
    const names = page.locator("table.apps tbody th a");
    assert.deepEqual((await names.allInnerTexts()).slice(0, 3), ["catalogue", "images", "accounts"]);
    fine(page);
    await page.close();
  });

  it("on a phone shows both releases of a rollout, and which page it is", async () => {
    await start("#/overview");
    await page.setViewportSize({ width: 360, height: 780 });
    await show(page, "#/rollouts/42");
    const measures = page.locator(".evidence .scroll");
    await measures.locator("tbody tr").first().waitFor();
    assert.ok(await measures.evaluate((e) => e.scrollWidth <= e.clientWidth), "nothing has to be scrolled to");
    for (const n of [0, 1]) assert.ok(await measures.locator(".side").nth(n).isVisible());
    // An address that somebody was sent: what the navigation has comes after it.
    await page.goto(`${mock.url}/#/audit`);
    await page.reload();
    await settled(page);
    await page.locator(".nav .badge").first().waitFor();
    await until(() => page.locator(".nav [aria-current]").evaluate((e) => {
      const box = e.getBoundingClientRect();
      return box.left >= 0 && box.right <= innerWidth;
    }), "the page's name in the navigation");
    fine(page);
    await page.close();
  });

  it("shows what happened to one app, or of one kind, at an address of its own", async () => {
    await start("#/overview");
    mock.say({ kind: "alert.failed", app: "", evidence: { channel: "team/slack", why: "403" } }, { kind: "app.scaled", app: "search", evidence: { replicas: 4 } }, { kind: "replica.started", app: "search", replica: 2 });
    const ribbon = page.locator(".ribbon");
    const entries = () => ribbon.locator("li .state").allInnerTexts();
    await ribbon.locator("li", { hasText: "search: scaled to 4 replicas" }).waitFor();
    assert.ok(!(await entries()).some((t) => t.includes("replica 2 started")), "not every turn of every replica");
    await ribbon.getByLabel("Kind of entries").focus();
    await page.keyboard.type("repl");
    await page.waitForURL(/kind=replicas/);
    await ribbon.locator("li", { hasText: "search: replica 2 started" }).waitFor();
    await until(async () => (await entries()).every((t) => /replica/.test(t)), "replicas only");
    await ribbon.locator("select").nth(1).selectOption("search");
    await page.waitForURL(/app=search/);
    await until(async () => (await entries()).every((t) => t.includes("search: replica")), "of search only");
    await page.reload();
    await settled(page);
    assert.equal(await ribbon.getByLabel("Kind of entries").inputValue(), "replicas");
    assert.equal(await ribbon.locator("select").nth(1).inputValue(), "search");
    mock.say({ kind: "replica.ready", app: "search", replica: 9 }, { kind: "replica.ready", app: "mail", replica: 8 });
    await ribbon.locator("li", { hasText: "search: replica 9 is ready" }).waitFor();
    assert.ok((await entries()).every((t) => t.includes("search: replica")));
    await ribbon.getByLabel("Kind of entries").selectOption("alerts");
    await ribbon.getByRole("link", { name: "Show all" }).click();
    await ribbon.locator("li", { hasText: "search: scaled to 4 replicas" }).waitFor();
    fine(page);
    await page.close();
  });
});
