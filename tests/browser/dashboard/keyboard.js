// Everything without a mouse.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { abort, ADMIN, deploy, fine, open, pages, profile, settled, show, tab, TOKENS, until } from "./platform.js";

const focused = (page) => page.evaluate(() => {
  const e = document.activeElement;
  return e === document.body ? "" : (e.id && `#${e.id}`) || e.getAttribute("aria-label") || e.textContent.trim().slice(0, 40) || e.tagName;
});

const focus = (page, want) => until(async () => (await focused(page)) === want, `the focus on "${want}"`);

const STEPS_MOST = 400;

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
    await until(() => page.evaluate(() => document.activeElement.type === "password"), "the field has the focus");
    await page.keyboard.type(TOKENS.deployer);
    await page.keyboard.press("Enter");
    await settled(page);
    await page.keyboard.press("g");
    await page.keyboard.press("r");
    await page.locator("main h1", { hasText: "Releases" }).waitFor();
    await page.locator(".vrow").first().waitFor();
    await page.keyboard.press("j");
    const row = (n) => until(() => page.evaluate((i) => document.activeElement.getAttribute("aria-rowindex") === i, String(n)), `the focus on row ${n}`);
    await row(2);
    await page.keyboard.press("j");
    await row(3);
    await page.keyboard.press("k");
    await row(2);
    assert.match(await page.evaluate(() => document.activeElement.textContent), new RegExp(`^${id}shop`));
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/#/rollouts/${id}`);
    await page.getByRole("button", { name: "Abort" }).waitFor();
    const before = "#main";
    await focus(page, before);
    await page.keyboard.press("a");
    await page.getByRole("dialog", { name: /^Abort / }).waitFor();
    await until(() => page.evaluate(() => document.querySelector("dialog").contains(document.activeElement)), "the focus is in the dialog");
    // A dialog keeps the keys to itself.
    await page.keyboard.press("g");
    await page.keyboard.press("o");
    assert.match(page.url(), /#\/rollouts\//);
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    await focus(page, before);
    // From a button the focus comes back to that button.
    await page.getByRole("button", { name: "Pause" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: /^Pause / }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    await focus(page, "Pause");
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
    await page.locator(".charts .plot").first().waitFor({ state: "detached" });
    await page.keyboard.press("t");
    await page.locator(".charts .plot canvas").first().waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("r");
    await page.locator("main h1", { hasText: "Releases" }).waitFor();
    await page.keyboard.press("/");
    await focus(page, "Filter rollouts");
    await page.keyboard.type("feedback");
    await page.waitForURL(/q=feedback/);
    await page.locator(".vrow", { hasText: "shop" }).first().waitFor({ state: "detached" });
    await page.keyboard.press("Escape");
    await focus(page, "");
    await page.keyboard.press("g");
    await page.keyboard.press("o");
    await page.locator("main h1", { hasText: "Overview" }).waitFor();
    fine(page);
  });

  it("reaches everything that can be seen, in order, and shows where it is", async () => {
    const page = await open(context, "admin");
    for (const hash of [...(await pages(page)).map((p) => p.hash), `#/rollouts/${id}`]) {
      await show(page, hash);
      await page.evaluate(() => (document.activeElement.blur(), scrollTo(0, 0), document.querySelector(".skip").focus()));
      const wrong = [];
      let steps = 0;
      for (; steps < STEPS_MOST; steps++) {
        const at = await page.evaluate(step);
        if (!at) break; // past the end
        if (at.wrong) wrong.push(at.wrong);
        await page.keyboard.press("Tab");
      }
      assert.ok(steps > 10 && steps < STEPS_MOST, `${hash}: ${steps} steps`);
      assert.deepEqual(wrong, [], hash);
      assert.deepEqual(await page.evaluate(missed), [], `${hash}: not reached`);
    }
    fine(page);
  });
});

// Notes that the focus is here; says what is wrong with that, or null behind the last element. What comes into the
// page on the way, because it came into view, counts as well.
function step() {
  const e = document.activeElement;
  if (e === document.body) return null;
  const last = [...document.querySelectorAll("[data-last]")][0];
  const begins = e.matches(".skip");
  if (begins) for (const old of document.querySelectorAll("[data-seen]")) delete old.dataset.seen;
  const name = `${e.tagName} ${e.className} "${(e.getAttribute("aria-label") ?? e.textContent).trim().slice(0, 40)}"`;
  if (last) delete last.dataset.last;
  e.dataset.last = e.dataset.seen = "";
  if (last && !begins && !(last.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING)) return { wrong: `${name} comes behind what follows it` };
  const style = getComputedStyle(e);
  const box = e.getBoundingClientRect();
  const drawn = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  return { wrong: drawn && inside ? null : `${name}: the focus is not seen, ${drawn ? "it is outside of the window" : style.outline}` };
}

// What can be seen and used, and was not reached.
function missed() {
  const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().width > 0;
  const radio = (e) => e.type === "radio" && !e.checked; // one of a group is reached, arrows do the rest
  return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
    .filter((e) => e.tabIndex >= 0 && !e.disabled && seen(e) && !radio(e) && e.dataset.seen === undefined)
    .map((e) => `${e.tagName} ${e.className} "${e.textContent.trim().slice(0, 40)}"`);
}
