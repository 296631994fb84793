// Everything without a mouse.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { abort, ADMIN, deploy, fine, pages, profile, settled, show, tab, TOKENS } from "./platform.js";

const focused = (page) => page.evaluate(() => {
  const e = document.activeElement;
  return e === document.body ? "" : (e.id && `#${e.id}`) || e.getAttribute("aria-label") || e.textContent.trim().slice(0, 40) || e.tagName;
});

// What Tab has to reach, in the order of the document: everything that can be seen and used.
function reachable() {
  const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().width > 0;
  return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")].filter((e) => e.tabIndex >= 0 && !e.disabled && seen(e));
}

describe("with the keyboard only", () => {
  let context, page, id;
  before(async () => {
    id = await deploy("shop");
    context = await profile();
    page = await tab(context);
  });
  after(async () => {
    await context.close();
    await abort(id);
  });

  it("signs in, goes to the releases, opens one, asks before it aborts, and keeps the focus", async () => {
    await page.goto(ADMIN);
    await page.getByLabel("Token").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.type), "password", "the field has the focus");
    await page.keyboard.type(TOKENS.deployer);
    await page.keyboard.press("Enter");
    await settled(page);
    await page.keyboard.press("g");
    await page.keyboard.press("r");
    await page.locator("main h1", { hasText: "Releases" }).waitFor();
    await page.locator(".vrow").first().waitFor();
    await page.keyboard.press("j");
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-rowindex")), "2");
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    assert.match(await page.evaluate(() => document.activeElement.textContent), new RegExp(`^${id}shop`));
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/#/rollouts/${id}`);
    await page.getByRole("button", { name: "Abort" }).waitFor();
    const before = await focused(page);
    assert.equal(before, "#main");
    await page.keyboard.press("a");
    await page.getByRole("dialog", { name: /^Abort / }).waitFor();
    assert.ok(await page.evaluate(() => document.querySelector("dialog").contains(document.activeElement)));
    // A dialog keeps the keys to itself.
    await page.keyboard.press("g");
    await page.keyboard.press("o");
    assert.match(page.url(), /#\/rollouts\//);
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    assert.equal(await focused(page), before);
    // From a button the focus comes back to that button.
    await page.getByRole("button", { name: "Pause" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: /^Pause / }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    assert.equal(await focused(page), "Pause");
    fine(page);
  });

  it("tells all of its keys, searches, and turns charts into tables", async () => {
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press("?");
    const help = page.getByRole("dialog", { name: "Keyboard" });
    await help.waitFor();
    const text = await help.innerText();
    for (const part of ["abort", "promote", "search", "next row", "charts as tables", "Overview", "Releases"]) assert.ok(text.includes(part), `${part} in ${text}`);
    await page.keyboard.press("?");
    await help.waitFor({ state: "detached" });
    await page.locator(".charts .plot canvas").first().waitFor();
    await page.keyboard.press("t");
    await page.locator(".chart-table").first().waitFor();
    assert.equal(await page.locator(".charts .plot").count(), 0);
    await page.keyboard.press("t");
    await page.locator(".charts .plot canvas").first().waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("r");
    await page.locator("main h1", { hasText: "Releases" }).waitFor();
    await page.keyboard.press("/");
    assert.equal(await focused(page), "Filter rollouts");
    await page.keyboard.type("feedback");
    await page.waitForURL(/q=feedback/);
    await page.locator(".vrow", { hasText: "shop" }).first().waitFor({ state: "detached" });
    await page.keyboard.press("Escape");
    assert.equal(await focused(page), "");
    await page.keyboard.press("g");
    await page.keyboard.press("o");
    await page.locator("main h1", { hasText: "Overview" }).waitFor();
    fine(page);
  });

  it("reaches everything that can be seen, in order, and shows where it is", async () => {
    for (const hash of [...(await pages(page)).map((p) => p.hash), `#/rollouts/${id}`]) {
      await show(page, hash);
      await page.evaluate(() => (document.activeElement.blur(), scrollTo(0, 0), document.querySelector(".skip").focus()));
      const want = await page.evaluate(`(${mark})(${reachable})`);
      assert.ok(want > 10, `${hash}: ${want}`);
      const got = [];
      const hidden = [];
      for (let i = 0; i < want; i++) {
        const at = await page.evaluate(where);
        got.push(at.number);
        if (!at.visible) hidden.push(at.name);
        await page.keyboard.press("Tab");
      }
      assert.deepEqual(got, Array.from({ length: want }, (_, i) => i), hash);
      assert.deepEqual(hidden, [], `${hash}: the focus is not to be seen`);
    }
    fine(page);
  });
});

// Numbers what can be reached; returns how many there are.
function mark(reach) {
  for (const e of document.querySelectorAll("[data-tab-number]")) delete e.dataset.tabNumber;
  const all = reach();
  all.forEach((e, i) => (e.dataset.tabNumber = i));
  return all.length;
}

// Where the focus is, and whether one sees it: an outline, within the window.
function where() {
  const e = document.activeElement;
  const style = getComputedStyle(e);
  const box = e.getBoundingClientRect();
  const drawn = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  return { number: Number(e.dataset.tabNumber ?? -1), name: `${e.tagName} ${e.textContent.slice(0, 30)} ${style.outline}`, visible: drawn && inside };
}
