// Control is killed while somebody looks: the page says so, comes back by itself, and has missed nothing.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { abort, deploy, ok, open, profile, rollout, settled, until } from "./platform.js";

const EXPECTED = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|status of 503/;
const ribbon = (page) => page.locator(".ribbon li[data-event]").evaluateAll((all) => all.map((li) => `${li.dataset.event} ${li.querySelector("time").dateTime} ${li.querySelector(".state").textContent}`));
const ids = (list) => list.map((text) => Number(text.split(" ")[0]));
const control = async () => (await ok("GET", "/v1/status")).processes.find((p) => p.role === "control").pid;

// What the page says of its connection, written down as it changes: a control that is back at once leaves
// little time to look.
const note = (page) => page.evaluate(() => {
  window.noted = { lost: false, told: false };
  new MutationObserver(() => {
    window.noted.lost ||= !!document.querySelector("[data-connection=lost]");
    window.noted.told ||= !!document.querySelector(".banner[role=alert]")?.textContent.includes("does not answer");
  }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
});

// The same page before and after control was killed and is back.
async function kill(...pages) {
  const pid = await control();
  for (const page of pages) await note(page);
  process.kill(pid, "SIGKILL");
  for (const page of pages) await page.waitForFunction(() => window.noted.lost && window.noted.told);
  for (const page of pages) {
    await page.locator("[data-connection=live]").waitFor({ timeout: 30_000 });
    await page.locator(".banner").waitFor({ state: "detached" });
  }
  await until(async () => (await control().catch(() => pid)) !== pid, "another control");
}

describe("control is killed under the page", () => {
  let context, overview, watched, id;
  before(async () => {
    id = await deploy("shop");
    context = await profile();
    overview = await open(context, "deployer", "#/overview", { expected: EXPECTED });
    watched = await open(context, "deployer", `#/rollouts/${id}`, { expected: EXPECTED });
    for (const page of [overview, watched]) await page.evaluate(() => (window.same = true));
  });
  after(async () => {
    await abort(id);
    await context.close();
  });

  it("says so, reconnects by itself, and has every entry of the journal once", async () => {
    const first = ids(await ribbon(overview));
    for (let turn = 0; turn < 2; turn++) {
      await kill(overview, watched);
      await ok("POST", "/v1/apps/shop/scale", { body: { replicas: turn === 0 ? 2 : 1 } });
      await overview.locator(".ribbon li", { hasText: `scaled to ${turn === 0 ? 2 : 1} replicas` }).first().waitFor();
    }
    assert.equal(await overview.evaluate(() => window.same), true, "it was not loaded anew");
    // One that was opened just now has it from the store.
    const fresh = await open(context, "viewer");
    let shown, want;
    await until(async () => {
      await settled(fresh);
      [shown, want] = [await ribbon(overview), await ribbon(fresh)];
      return JSON.stringify(shown) === JSON.stringify(want);
    }, "the same on the ribbon of a page that was there and of one that was not").catch(() => assert.deepEqual(shown, want));
    assert.equal(new Set(ids(shown)).size, shown.length);
    assert.ok(ids(shown)[0] > first[0]);
    const journal = (await ok("GET", "/v1/events?limit=1000")).events.map((e) => e.id);
    assert.deepEqual(ids(shown).filter((n) => !journal.includes(n)), []);
    assert.deepEqual(overview.problems, []);
    await fresh.close();
  });

  it("the rollout goes on, and so does its page", async () => {
    assert.equal((await rollout(id)).outcome, "");
    assert.equal(await watched.evaluate(() => window.same), true);
    await watched.getByRole("button", { name: "Promote", exact: true }).click();
    await watched.getByRole("dialog").getByRole("button", { name: "Promote" }).click();
    await until(async () => /^50 %/.test(await watched.locator('.steps li[aria-current="step"]').innerText().catch(() => "")), "the second step");
    const points = () => watched.evaluate(() => document.querySelector(".charts")?.dataset.source);
    await until(async () => (await points()) === "stream", "charts from the stream");
    const timeline = ids(await ribbon(watched));
    assert.ok(timeline.length > 3);
    assert.equal(new Set(timeline).size, timeline.length);
    assert.deepEqual(timeline, [...timeline].sort((a, b) => b - a));
    assert.deepEqual(watched.problems, []);
  });
});
