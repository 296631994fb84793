// Every page there is, and every kind of page below it: nothing fails, nothing is refused, nothing overflows, and
// nobody is kept out by colours, names or order.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ADMIN, below, fine, open, pages, profile, settled, show, tab, TOKENS, violations } from "./platform.js";

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const SCHEMES = ["light", "dark"];
const WIDTHS = [1440, 360];

// What makes the document wider than the window, if it is.
function wider() {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return [];
  return [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > clientWidth + 0.5).map((e) => `${e.tagName}.${e.className}`).slice(0, 12);
}

async function look(page, where) {
  for (const colorScheme of SCHEMES) {
    await page.emulateMedia({ colorScheme });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      await settled(page);
      const at = `${where}, ${colorScheme}, ${width} px`;
      assert.equal(await page.locator("main h1").count(), 1, at);
      assert.deepEqual(await page.evaluate(wider), [], `${at}: wider than the window`);
      assert.deepEqual(await violations(page), [], at);
    }
  }
}

describe("every page", () => {
  let context, page;
  before(async () => {
    context = await profile();
    page = await open(context, "admin");
  });
  after(() => context.close());

  it("has a head, fits 1440 and 360 pixels, is without a fault in light and dark, and so is all that it leads to", async (t) => {
    const list = await pages(page);
    assert.ok(list.length >= 2 && list.some((p) => p.title.startsWith("Overview")), JSON.stringify(list));
    const known = list.map((p) => p.hash);
    const todo = new Map(known.map((hash) => [hash, hash]));
    for (const [, hash] of todo) {
      // Each begins as an address that somebody was sent.
      await page.goto(`${ADMIN}/${hash}`);
      await page.reload();
      await settled(page);
      for (const [kind, link] of await below(page, known)) if (!todo.has(kind)) todo.set(kind, link);
      await look(page, hash);
      fine(page);
    }
    t.diagnostic(`${[...todo.values()].join(" ")}`);
    assert.ok([...todo.keys()].includes("rollouts/*"), "a rollout was looked at");
  });

  it("has its alerts close together", async (t) => {
    if (!(await pages(page)).some((p) => p.hash === "#/alerts")) return t.skip("no page of alerts");
    await page.setViewportSize({ width: 1440, height: 900 });
    await show(page, "#/alerts");
    const heights = await page.locator("main div.line").evaluateAll((all) => all.map((e) => e.getBoundingClientRect().height));
    assert.ok(heights.length > 0 && heights.every((h) => h < 60), heights.join());
  });

  it("is without a fault before anybody signed in", async () => {
    const stranger = await profile();
    const login = await tab(stranger);
    await login.goto(`${ADMIN}/`);
    await login.locator("h1").waitFor();
    for (const colorScheme of SCHEMES) {
      await login.emulateMedia({ colorScheme });
      for (const width of WIDTHS) {
        await login.setViewportSize({ width, height: 900 });
        assert.deepEqual(await violations(login), []);
        assert.deepEqual(await login.evaluate(wider), []);
      }
    }
    fine(login);
    await stranger.close();
  });

  it("keeps the time range of its address over a reload and from page to page", async () => {
    await show(page, "#/overview?from=-6h");
    for (const { hash } of await pages(page)) {
      await page.locator(`nav a[href^="${hash}?"], nav a[href="${hash}"]`).first().click();
      await settled(page);
      await page.reload();
      await settled(page);
      assert.match(page.url(), /[?&]from=-6h/, hash);
      const range = page.locator(".range select");
      if (await range.count()) assert.equal(await range.inputValue(), "-6h", hash);
    }
  });

  it("sets the range by dragging on a chart, and goes back to now", async (t) => {
    if (!(await pages(page)).some((p) => p.hash === "#/dashboards")) return t.skip("no page has charts of the store");
    await page.setViewportSize({ width: 1440, height: 900 });
    await show(page, "#/dashboards/application?from=-15m");
    const plot = page.locator(".plot .u-over").first();
    await plot.scrollIntoViewIfNeeded();
    const box = await plot.boundingBox();
    const y = box.y + box.height / 2;
    await page.mouse.move(box.x + box.width * 0.5, y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.9, y, { steps: 5 });
    await page.mouse.up();
    await page.waitForURL(/from=\d+&to=\d+/);
    const { from, to } = Object.fromEntries(new URLSearchParams(page.url().split("?")[1]));
    const share = (Number(to) - Number(from)) / 900_000;
    assert.ok(share > 0.3 && share < 0.5, `${share} of the range`);
    await page.reload();
    await settled(page);
    assert.match(page.url(), new RegExp(`from=${from}&to=${to}`));
    await page.getByRole("button", { name: "back to now" }).click();
    await page.waitForURL((url) => !/to=/.test(url.hash));
    fine(page);
  });

  it("is served with the strictest policy, and keeps its token out of cookies and addresses", async () => {
    const answer = await page.request.get(`${ADMIN}/`, { headers: { Accept: "text/html" } });
    assert.equal(answer.headers()["content-security-policy"], POLICY);
    assert.equal(answer.headers()["set-cookie"], undefined);
    assert.deepEqual(await context.cookies(), []);
    assert.equal(await page.evaluate(() => document.cookie), "");
    assert.equal(await page.evaluate(() => sessionStorage.getItem("headgate-token")), TOKENS.admin);
    assert.equal(await page.evaluate(() => localStorage.getItem("headgate-token")), null);
    // The policy is not only said: a script of the page's own making does not run.
    const refused = await page.evaluate(() => new Promise((done) => {
      addEventListener("securitypolicyviolation", (e) => done(e.violatedDirective), { once: true });
      document.body.append(Object.assign(document.createElement("script"), { textContent: "window.hacked = 1" }));
    }));
    assert.match(refused, /^script-src/);
    assert.equal(await page.evaluate(() => window.hacked), undefined);
  });
});
