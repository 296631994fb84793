// A receiver that really fails: who looks at the alerts is told which one, since when, why, and when it is tried again;
// and nothing is said of it while all is well.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import { fine, HOOK, ok, open, profile, show, until, violations } from "./platform.js";

describe("receivers", () => {
  let context, page, server;
  const answers = { "/team": 200, "/oncall": 503 }; // "wait": an answer does not come yet
  const held = [];
  const got = { "/team": 0, "/oncall": 0 };

  const fire = (alertname, more = {}) => ok("POST", "/api/v2/alerts", { body: [{ labels: { alertname, severity: "critical" }, annotations: { summary: `${alertname} is tested` }, ...more }] });
  const over = (alertname) => fire(alertname, { endsAt: new Date().toISOString() });
  const failing = () => page.locator("[data-failing]");
  const told = (alertname) => page.locator(`[data-group="${alertname}"] .told`);

  before(async () => {
    server = http.createServer((asked, answer) => {
      asked.resume().on("end", () => {
        got[asked.url]++;
        const say = () => answer.writeHead(answers[asked.url] === "wait" ? 200 : answers[asked.url]).end();
        if (answers[asked.url] === "wait") held.push(say);
        else say();
      });
    });
    server.listen(Number(new URL(HOOK).port), "127.0.0.1");
    await once(server, "listening");
    context = await profile();
    page = await open(context, "viewer", "#/alerts");
  });
  after(async () => {
    await context?.close();
    server.closeAllConnections();
    server.close();
  });

  it("say nothing while nobody has to be told", async () => {
    assert.equal(await failing().count(), 0);
    await show(page, "#/alerts?view=receivers");
    for (const name of ["team", "oncall"]) assert.match(await page.locator(`[data-receiver=${name}]`).innerText(), /nothing to tell/);
    assert.equal(await page.locator(".tabs a", { hasText: "Receivers" }).locator(".count").count(), 0);
  });

  it("that fail are named above all alerts: since when, why, how often, and when it is tried again", async () => {
    await show(page, "#/alerts");
    await fire("PageOne");
    const one = page.locator("[data-failing=oncall]");
    await one.waitFor();
    await until(() => got["/oncall"] >= 2, "a second attempt");
    await until(async () => /Tried [2-9] times/.test(await one.innerText()), "the page has heard of it");
    assert.match((await one.innerText()).replace(/\s+/g, " "), /oncall cannot be told since \d\d:\d\d:\d\d \(\d+ s\): webhook status 503\. Tried \d times, next attempt (in \d+ s|now)\./);
    assert.equal(await failing().count(), 1, "team was told, and is not named");
    assert.match(await told("PageOne").innerText(), /oncall could not be told: status 503, next attempt (in|now)/);
    assert.match(await told("PageOne").innerText(), /team told/);
    assert.equal(await page.locator(".tabs a", { hasText: "Receivers" }).locator(".count").innerText(), "1");
    assert.deepEqual(await violations(page), []);
    // It is there on the other parts of the page as well, and on a phone nothing of it is cut off.
    await page.setViewportSize({ width: 360, height: 800 });
    await show(page, "#/alerts?view=receivers");
    await one.waitFor();
    assert.ok(await one.evaluate((e) => e.scrollWidth <= e.clientWidth && document.documentElement.scrollWidth <= innerWidth));
    assert.match(await page.locator("[data-receiver=oncall]").innerText(), /cannot be told/);
    assert.match(await page.locator("[data-receiver=team]").innerText(), /was told/);
    assert.deepEqual(await violations(page), []);
    await page.setViewportSize({ width: 1440, height: 900 });
  });

  it("that take it again are not named any more", async () => {
    await show(page, "#/alerts");
    answers["/oncall"] = 200;
    await until(async () => (await failing().count()) === 0, "nobody fails", 30);
    await until(async () => /oncall told/.test(await told("PageOne").innerText()), "oncall is told");
  });

  it("that have not answered yet are shown to be told just now", async () => {
    answers["/oncall"] = "wait";
    await fire("PageTwo");
    await until(async () => (await told("PageTwo").count()) && /oncall is being told/.test(await told("PageTwo").innerText()), "it is being told");
    await until(() => held.length > 0, "the receiver was asked");
    assert.equal(await failing().count(), 0, "no attempt has failed");
    answers["/oncall"] = 200;
    for (const say of held.splice(0)) say();
    await until(async () => /oncall told/.test(await told("PageTwo").innerText()), "it was told");
    for (const name of ["PageOne", "PageTwo"]) await over(name);
    await until(async () => (await page.locator("[data-group^=Page]").count()) === 0, "both are over", 30);
    fine(page);
  });
});
