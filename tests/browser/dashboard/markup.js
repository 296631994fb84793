// Text that others wrote is text: names, commands, lines, paths, answers, notes. None of it becomes an element.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { below, fine, headgate, ok, open, pages, profile, rollout, show, until, visit } from "./platform.js";

const MARKUP = `<img src=x onerror="window.hacked=1"></script><script>window.hacked=1</script> & 'single' "double"`;
const PATH = `/market/<img/src=x/onerror=window.hacked=1></script>?q="'&amp;<b>`;

// What is in the document that nobody but stored text would have put there.
function strangers() {
  const odd = document.querySelectorAll("img, iframe, object, embed, main b:not([class]) > b, main [onerror], main [onload], main [onclick], body script");
  return { hacked: window.hacked, odd: [...odd].map((e) => e.outerHTML.slice(0, 200)) };
}

describe("stored text with markup", () => {
  let context, page, id, incident, silence;
  before(async () => {
    id = JSON.parse(await headgate("deploy", "market", "--version", "v1-amp", "--detach", "--json")).id;
    await until(async () => {
      assert.notEqual(await visit(PATH), 400);
      return (await rollout(id)).outcome;
    }, `rollout ${id} is taken back`, 60);
    incident = await until(async () => (await ok("GET", "/v1/incidents")).incidents[0]?.id, "an incident");
    for (const [verb, body] of [["ack", { note: MARKUP }], ["assign", { to: "<b>kim</b>", note: MARKUP }]]) await ok("POST", `/v1/incidents/${incident}/${verb}`, { body });
    const now = Date.now();
    silence = (await ok("POST", "/api/v2/silences", {
      body: {
        matchers: [{ name: "app", value: MARKUP, isRegex: false, isEqual: true }],
        startsAt: new Date(now).toISOString(),
        endsAt: new Date(now + 3_600_000).toISOString(),
        createdBy: MARKUP,
        comment: MARKUP,
      },
    })).silenceID;
    context = await profile();
    page = await open(context, "admin");
  });
  after(async () => {
    await ok("DELETE", `/api/v2/silence/${silence}`);
    await context.close();
  });

  it("is shown as it is on a rollout's page: path, answer, log lines", async () => {
    await show(page, `#/rollouts/${id}`);
    const item = page.locator("li.failure").first();
    const [first] = (await rollout(id)).first_failures;
    assert.ok(first.path.includes("<img"), first.path);
    assert.equal(await item.locator("code").innerText(), `GET ${first.path}`);
    assert.ok(first.body.includes(MARKUP), first.body);
    assert.equal(await item.locator("pre").first().innerText(), first.body);
    await item.getByRole("button", { name: /log lines/ }).click();
    await item.locator("pre.loglines", { hasText: MARKUP }).waitFor();
    assert.deepEqual(await page.evaluate(strangers), { hacked: undefined, odd: [] });
  });

  it("is text in the address as well", async () => {
    for (const text of [MARKUP, "%3Cimg%20src=x%20onerror=window.hacked=1%3E"]) {
      for (const where of [`#/rollouts?q=${encodeURIComponent(text)}`, `#/overview?q=${encodeURIComponent(text)}`, `#/rollouts?app=${encodeURIComponent(text)}`, `#/rollouts/${encodeURIComponent(text)}`, `#/${encodeURIComponent(text)}`, `#/overview?from=${encodeURIComponent(text)}`]) {
        await show(page, where);
        assert.deepEqual(await page.evaluate(strangers), { hacked: undefined, odd: [] }, where);
      }
    }
    fine(page);
  });

  // Where a page has such text, it is to be seen there; that page may not be there yet.
  const shown = [
    ["#/logs", () => `#/logs?app=market&q=onerror`, MARKUP],
    ["#/incidents", () => `#/incidents/${incident}`, MARKUP],
    ["#/alerts", () => "#/alerts", "<img src=x onerror="],
    ["#/config", () => "#/config", "<img src=x onerror=window.hacked=1>"],
  ];
  it("makes no element and runs no script on any page, and is shown where it belongs", async () => {
    const list = (await pages(page)).map((p) => p.hash);
    const todo = [...list];
    for (const hash of todo) {
      await show(page, hash);
      for (const link of (await below(page, list)).values()) if (!todo.includes(link)) todo.push(link);
      assert.deepEqual(await page.evaluate(strangers), { hacked: undefined, odd: [] }, hash);
    }
    for (const [hash, address, text] of shown) {
      if (!list.includes(hash)) continue;
      await show(page, address());
      await page.locator("main", { hasText: text }).waitFor().catch(async () => assert.fail(`${text} is not on ${address()}: ${await page.locator("main").innerText()}`));
      assert.deepEqual(await page.evaluate(strangers), { hacked: undefined, odd: [] }, hash);
    }
    fine(page);
  });
});
