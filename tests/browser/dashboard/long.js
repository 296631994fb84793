// Lists longer than any screen: from the stand-in, which has as many releases and apps as are wished for.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { options, startMock } from "./mock.mjs";
import { fine, open, origins, profile, show, until } from "./platform.js";

const ROWS_MOST = 200;

describe("long lists", () => {
  let mock, context, page;
  before(async () => {
    mock = await startMock(options(["--rollouts", "1000", "--apps", "200"]));
    origins.add(mock.url);
    context = await profile();
    page = await open(context, "admin", "#/rollouts", { origin: mock.url });
  });
  after(async () => {
    await context.close();
    mock.stop();
  });

  it("a thousand releases are a few rows in the document, to the very last", async () => {
    const list = page.getByRole("table", { name: "Rollouts" });
    await list.locator(".vrow").first().waitFor();
    assert.equal(await list.getAttribute("aria-rowcount"), "1001");
    const rows = () => page.locator("main [data-row]").count();
    let most = await rows();
    const body = list.locator(".vbody");
    await body.hover();
    for (let share = 0.1; share <= 1; share += 0.1) {
      await body.evaluate((e, to) => (e.scrollTop = e.scrollHeight * to), share);
      // Some row is drawn in the middle of what can be seen: no hole.
      await until(() => body.evaluate((e) => {
        const box = e.getBoundingClientRect();
        return !!document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2)?.closest(".vrow");
      }), `rows at ${share}`);
      most = Math.max(most, await rows());
    }
    await list.locator('.vrow[aria-rowindex="1001"]').waitFor();
    assert.ok(most > 10 && most <= ROWS_MOST, `${most} rows`);
    await list.locator('.vrow[aria-rowindex="1001"] a').click();
    await page.waitForURL(/#\/rollouts\/\d+$/);
    fine(page);
  });

  it("two hundred apps are shown, filtered as one types, and walked through", async () => {
    await show(page, "#/overview");
    await page.locator("table.apps tbody tr").nth(199).waitFor();
    assert.equal(await page.locator("main [data-row]").count(), 200);
    await page.getByLabel("Filter apps").fill("feedback-01");
    await until(async () => (await page.locator("table.apps tbody tr").count()) === 1, "one app");
    await page.getByLabel("Filter apps").fill("");
    await until(async () => (await page.locator("table.apps tbody tr").count()) === 200, "all apps");
    await page.keyboard.press("Escape");
    for (let i = 0; i < 60; i++) await page.keyboard.press("j");
    const row = page.locator("table.apps tbody tr").nth(59);
    assert.ok(await row.evaluate((e) => e === document.activeElement));
    assert.ok(await row.evaluate((e) => e.getBoundingClientRect().bottom <= innerHeight), "the row can be seen");
    fine(page);
  });
});
