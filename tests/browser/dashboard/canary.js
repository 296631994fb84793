// A release that goes bad while somebody watches: all of it is read from the page.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fine, headgate, open, profile, rollout, until } from "./platform.js";

// Notes every change of what the page says, for the test to read afterwards.
function watch() {
  const seen = (window.seen = { evidence: [], set: [], said: [], verdicts: [], sources: [] });
  const text = (at) => document.querySelector(at)?.textContent ?? "";
  const note = (list, value) => value !== "" && value !== null && list.at(-1) !== value && list.push(value);
  const read = () => {
    note(seen.evidence, document.querySelector('[role="meter"]')?.getAttribute("aria-valuetext") ?? "");
    note(seen.set, text(".weights dd"));
    note(seen.said, text("[data-announcer][aria-live=polite]"));
    note(seen.verdicts, document.querySelector("[data-verdict]")?.dataset.verdict ?? "");
    note(seen.sources, document.querySelector(".charts[data-source]")?.dataset.source ?? "");
  };
  new MutationObserver(read).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  read();
}

const figure = (page, name) => page.locator(".figure", { has: page.locator("dt", { hasText: name }) }).locator("dd");
const count = async (page, name) => Number((await figure(page, name).innerText()).replace(/\D/g, ""));

// Pixels of a chart that have the colour of a custom property.
function painted(canvas, property) {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(${property})`;
  const want = getComputedStyle(probe).color.match(/\d+/g).map(Number);
  probe.remove();
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let n = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && want.every((v, k) => Math.abs(data[i + k] - v) < 24)) n++;
  return n;
}

describe("a canary that goes bad while the page is open", () => {
  let context, page, id, seen;
  before(async () => {
    context = await profile();
    page = await open(context, "viewer");
    // Only with traffic is there something to judge.
    await page.locator("tr", { has: page.locator("th", { hasText: "feedback" }) }).locator('td[data-label="p95"] .num', { hasText: /\d/ }).waitFor();
    await page.evaluate(watch);
    await headgate("deploy", "feedback", "--version", "bad", "--detach");
    const link = page.locator('table.apps a[href*="#/rollouts/"]');
    id = Number(/\d+$/.exec(await link.getAttribute("href", { timeout: 30_000 }))[0]);
    await link.click();
    await page.locator('[data-verdict="rolled_back"]').waitFor({ timeout: 60_000 });
    await until(async () => (await page.locator(".weights dd").first().innerText()) === "0 %", "the weight is 0");
    seen = await page.evaluate(() => window.seen);
  });
  after(() => context.close());

  it("shows the weight and the evidence on its way to the threshold", async () => {
    assert.ok(seen.set.includes("10 %"), seen.set.join());
    assert.equal(seen.set.at(-1), "0 %");
    const numbers = seen.evidence.map((text) => {
      const [, n, k] = /^evidence ([\d.]+)( k| M| G)?, the threshold is/.exec(text) ?? assert.fail(text);
      return Number(n) * { " k": 1e3, " M": 1e6, " G": 1e9 }[k ?? ""] || Number(n);
    });
    const climb = numbers.filter((e) => e > 1);
    assert.ok(new Set(climb).size >= 3, `several steps: ${numbers.join(" ")}`);
    // Where it stood when the page first showed it is chance: the first request of the bad release may have failed.
    const { threshold } = (await rollout(id)).evidence;
    assert.ok(Math.min(...numbers) < threshold && Math.max(...numbers) >= threshold, numbers.join(" "));
  });

  it("draws each measure's interval as a line with a dot on it", async () => {
    const boxes = await page.locator(".whisker .line, .whisker .dot").evaluateAll((all) => all.map((e) => {
      const [own, around] = [e.getBoundingClientRect(), e.parentElement.getBoundingClientRect()];
      return { height: own.height, inside: own.top >= around.top - 2 && own.bottom <= around.bottom + 2 };
    }));
    assert.ok(boxes.length >= 4, `${boxes.length}`);
    assert.deepEqual(boxes.filter((b) => b.height > 12 || !b.inside), []);
  });

  it("says the verdict, why, and what users had of it", async () => {
    const doc = await rollout(id);
    const verdict = page.locator("section.verdict");
    assert.match(await verdict.innerText(), /was taken back: its answers were worse/);
    assert.equal(await verdict.locator(".why").innerText(), doc.why);
    assert.match(doc.why, /\d+ of \d+ requests/);
    assert.match(await page.locator("header.head .state").innerText(), /rolled back/);
    assert.match(await page.locator(".steps li.failed").innerText(), /10 %\s*✕ taken back here/);
    assert.ok((await count(page, /^answered by .* instead$/)) > 0);
    assert.equal(await count(page, /^answered by .* instead$/), doc.users.rescued);
    assert.equal(await count(page, "errors users saw"), 0);
    assert.equal(doc.users.seen, 0);
  });

  it("is said aloud", () => {
    assert.ok(seen.said.some((text) => /taken back|rolled back/.test(text)), seen.said.join("\n"));
    assert.ok(seen.verdicts.indexOf("bad") < seen.verdicts.indexOf("rolled_back"), seen.verdicts.join());
  });

  it("shows the first failing request and the lines its replica wrote", async () => {
    const [first] = (await rollout(id)).first_failures;
    const item = page.locator("li.failure").first();
    const text = await item.innerText();
    for (const part of [`GET ${first.path}`, "500", `request ${first.request_id}`]) assert.ok(text.includes(part), `${part} in ${text}`);
    await item.getByRole("button", { name: /log lines/ }).click();
    const lines = item.locator("pre.loglines");
    await lines.waitFor();
    assert.match(await lines.innerText(), /^\d\d:\d\d:\d\d\.\d{3} \w+ .*/m);
    assert.match(await lines.innerText(), /FEEDBACK_FAULT/);
  });

  it("has charts by the second from the stream, with lines in them, and the same as tables", async () => {
    assert.ok(seen.sources.includes("stream"), seen.sources.join());
    assert.equal(await page.locator(".charts").getAttribute("data-source"), "stream");
    const charts = page.locator(".charts figure");
    assert.equal(await charts.count(), 6);
    const canvas = page.locator("figure", { hasText: "Requests" }).first().locator("canvas");
    assert.ok((await canvas.evaluate(painted, "--new")) > 20, "the new release's line");
    assert.ok((await canvas.evaluate(painted, "--old")) > 20, "the old release's line");
    await page.keyboard.press("t");
    const table = (title) => page.getByRole("region", { name: `${title}, as a table` });
    const rows = await table("Evidence that it is worse").locator("tbody td").allInnerTexts();
    assert.ok(rows.length >= 2, `${rows.length} rows`); // one a second, and it may be proven bad in three
    const top = (await rollout(id)).evidence.threshold;
    assert.ok(rows.some((text) => (/ k$/.test(text) ? 1000 : 1) * parseFloat(text) >= top), rows.join(" | "));
    const shares = await table("Share of the new release").locator("tbody td:last-child").allInnerTexts();
    assert.ok(shares.includes("10 %") && shares[0] === "0 %", shares.join(" | "));
    assert.ok((await table("Requests").locator("tbody td").allInnerTexts()).some((text) => /^[1-9]/.test(text)));
    await page.keyboard.press("t");
    await canvas.waitFor();
    fine(page);
  });

  it("is in the list and on the ribbon as it ended", async () => {
    await page.getByRole("link", { name: "Releases" }).click();
    const row = page.locator(".vrow", { has: page.getByRole("link", { name: String(id), exact: true }) });
    assert.match(await row.innerText(), /rolled back[\s\S]*its answers were worse/);
    await page.getByRole("link", { name: "Overview" }).click();
    await page.locator(".ribbon li", { hasText: `rollout ${id} was rolled back: its answers were worse` }).waitFor();
    fine(page);
  });
});
