import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { mkdir } from "node:fs/promises";
import { App, Browser, REMOTE, add, card, clear, focusOn, gone, post, reads, shown, until } from "./lib.js";

const shots = process.env.SCREENSHOTS;
let app, browser, url;

before(async () => {
  if (!REMOTE) app = await App.start();
  url = REMOTE ?? app.url;
  browser = await Browser.start();
  if (shots) await mkdir(shots, { recursive: true });
});
after(async () => {
  await browser?.stop();
  await app?.remove();
});
beforeEach(() => clear(url));

async function withTab(options, body) {
  const page = await browser.tab(url, options);
  try {
    await body(page);
    assert.deepEqual(page.problems, []);
  } finally {
    await page.close();
  }
}

describe("the page", () => {
  test("the owner's case: add, edit and delete a feedback", () =>
    withTab({}, async (page) => {
      assert.match(await page.textContent("h1"), /Feedback App/);
      await page.click('button:has-text("Add Feedback")');
      await page.fill('textarea[name="message"]', "E2E test feedback");
      await page.click('button:has-text("Submit")');
      await page.waitForSelector('.feedback-card:has-text("E2E test feedback")');
      const mine = page.locator('.feedback-card:has-text("E2E test feedback")');
      await mine.locator('button:has-text("Edit")').click();
      await page.fill('textarea[name="message"]', "Updated feedback");
      await page.click('button:has-text("Save")');
      await page.waitForSelector('.feedback-card:has-text("Updated feedback")');
      const updated = page.locator('.feedback-card:has-text("Updated feedback")');
      await updated.locator('button:has-text("Delete")').click();
      await page.click('button:has-text("Confirm")');
      await updated.waitFor({ state: "detached" });
      await shown(page, 0);
    }));

  test("an empty database shows the empty state, health and a count of 0", () =>
    withTab({}, async (page) => {
      await page.locator("#empty-state").waitFor();
      assert.match(await page.textContent("#empty-state"), /No feedback yet/);
      await reads(page, "#feedback-count", "0");
      await page.locator("#health-status.healthy").waitFor();
      await reads(page, "#health-status .status-text", "Healthy");
      await gone(page, "#loading-state");
      await add(page, "the first");
      await gone(page, "#empty-state");
      await reads(page, "#feedback-count", "1");
    }));

  test("two tabs see each other's changes when they are looked at", () =>
    withTab({}, async (first) =>
      withTab({}, async (second) => {
        await first.bringToFront();
        await add(first, "from the first tab");
        await second.bringToFront();
        await second.evaluate(() => window.dispatchEvent(new Event("focus")));
        await card(second, "from the first tab").waitFor();
        await card(second, "from the first tab").getByText("Edit").click();
        await second.fill('textarea[name="message"]', "changed in the second");
        await second.click('button:has-text("Save")');
        await card(second, "changed in the second").waitFor();
        await first.bringToFront();
        await first.evaluate(() => window.dispatchEvent(new Event("focus")));
        await card(first, "changed in the second").waitFor();
        await shown(first, 1);
      }),
    ));

  test("editing what another tab has deleted is told, not lost silently", () =>
    withTab({}, async (page) => {
      const { id } = await post(url, "soon gone");
      await page.click("#refresh-btn");
      await card(page, "soon gone").getByText("Edit").click();
      await fetch(`${url}/feedback/${id}`, { method: "DELETE" });
      await page.fill('textarea[name="message"]', "too late");
      await page.click('button:has-text("Save")');
      await page.getByText("Somebody else has deleted it").waitFor();
      assert.equal(await page.inputValue('textarea[name="message"]'), "too late");
      await page.keyboard.press("Escape");
      await page.locator("#empty-state").waitFor();
    }));

  test("whatever users type is shown as text and never runs", () =>
    withTab({}, async (page) => {
      const nasty = [
        "x');window.__p=1;//",
        '"><img src=x onerror="window.__p=1">',
        "<script>window.__p=1</script>",
        "</textarea><svg onload=window.__p=1>",
        "{{constructor.constructor('window.__p=1')()}} ${window.__p=1} javascript:window.__p=1",
        "\u202eright to left\u202c, \u0000".replace("\u0000", "") + "e\u0301, 🌊, 日本語",
      ];
      for (const text of nasty) await post(url, text);
      await page.click("#refresh-btn");
      await page.locator(".feedback-card").nth(nasty.length - 1).waitFor();
      assert.deepEqual((await page.locator(".feedback-message").allTextContents()).reverse(), nasty);
      assert.equal(await page.locator(".feedback-card img, .feedback-card script, .feedback-card svg:not(.vote-btn > .icon)").count(), 0);
      for (const text of nasty) {
        const mine = page.locator(".feedback-card").nth(nasty.length - 1 - nasty.indexOf(text));
        await mine.getByText("Edit").click();
        assert.equal(await page.inputValue('textarea[name="message"]'), text);
        await page.keyboard.press("Escape");
        await mine.getByText("Delete").click();
        assert.equal(await page.textContent("#delete-text"), text);
        await page.keyboard.press("Escape");
      }
      assert.equal(await page.evaluate(() => window.__p), undefined);
      // and the policy stops what would still get through
      const blocked = await page.evaluate(async () => {
        const seen = new Promise((done) => document.addEventListener("securitypolicyviolation", (e) => done(e.violatedDirective), { once: true }));
        const button = document.createElement("button");
        button.setAttribute("onclick", "window.__p=1");
        document.body.append(button);
        button.click();
        button.remove();
        return seen;
      });
      assert.match(blocked, /^script-src/);
      assert.equal(await page.evaluate(() => window.__p), undefined);
      page.problems.length = 0; // the violation we made ourselves
    }));

  test("everything can be done with the keyboard", () =>
    withTab({}, async (page) => {
      await page.locator("#empty-state").waitFor();
      const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.className);
      const tabTo = async (want) => {
        for (let i = 0; i < 12; i++) {
          await page.keyboard.press("Tab");
          if ((await focused()).includes(want)) return;
        }
        assert.fail(`Tab never reaches ${want}; focus is on ${await focused()}`);
      };
      await tabTo("add-feedback-btn");
      await page.keyboard.press("Enter");
      await focusOn(page, "feedback-message");
      await page.keyboard.type("typed by hand");
      // the focus stays in the dialog, or in the browser's own bars
      for (let i = 0; i < 6; i++) {
        await page.keyboard.press("Tab");
        assert.ok(await page.evaluate(() => document.activeElement === document.body || document.activeElement.closest("#feedback-modal") !== null));
      }
      await page.locator("#submit-btn").focus();
      await page.keyboard.press("Enter");
      await card(page, "typed by hand").waitFor();
      await page.locator("#feedback-modal").waitFor({ state: "hidden" });
      await focusOn(page, "add-feedback-btn");
      // Escape gives up, and gives the focus back
      await page.keyboard.press("Enter");
      await page.keyboard.type("never mind");
      await page.keyboard.press("Escape");
      await focusOn(page, "add-feedback-btn");
      await tabTo("edit-btn");
      await page.keyboard.press("Enter");
      await page.keyboard.type(", and changed");
      await page.keyboard.press("Control+Enter");
      await card(page, "typed by hand, and changed").waitFor();
      await page.locator("#feedback-modal").waitFor({ state: "hidden" });
      await focusOn(page, "edit-btn");
      await tabTo("delete-btn");
      await page.keyboard.press("Enter");
      await focusOn(page, "confirm-delete-btn");
      await page.keyboard.press("Enter");
      await page.locator("#empty-state").waitFor();
      await shown(page, 0);
    }));

  test("whoever goes on before the page knows that a dialog is closed keeps the focus", () =>
    withTab({}, async (page) => {
      await add(page, "here");
      await page.click("#add-feedback-btn");
      const focused = await page.evaluate(async () => {
        document.getElementById("feedback-modal").close(); // its event comes later
        document.querySelector(".edit-btn").focus();
        await new Promise((done) => setTimeout(done, 200));
        return document.activeElement.className;
      });
      assert.match(focused, /edit-btn/);
    }));

  test("a wish that is sent again is carried out once", () =>
    withTab({}, async (page) => {
      let sent = 0;
      const keys = [];
      await page.route("**/feedback", async (route) => {
        if (route.request().method() !== "POST") return route.continue();
        keys.push(route.request().headers()["idempotency-key"]);
        const answer = await route.fetch(); // it arrives, and the first answer is lost
        return sent++ ? route.fulfill({ response: answer }) : route.abort();
      });
      await page.click('button:has-text("Add Feedback")');
      await page.fill('textarea[name="message"]', "only one of me");
      await page.click('button:has-text("Submit")');
      await page.locator("#form-error", { hasText: "The server does not answer" }).waitFor();
      await page.click('button:has-text("Submit")');
      await card(page, "only one of me").waitFor();
      assert.equal(keys.length, 2);
      assert.match(keys[0], /^[0-9a-f]{32}$/);
      assert.equal(keys[0], keys[1]);
      assert.equal((await (await fetch(`${url}/feedback`)).json()).length, 1);
      await add(page, "another");
      assert.notEqual(keys[2], keys[0]);
    }));

  test("characters are counted as people count them, and 501 are refused before sending", () =>
    withTab({}, async (page) => {
      await page.click("#add-feedback-btn");
      await page.fill('textarea[name="message"]', "  🌊🌊é  ");
      assert.equal(await page.textContent("#char-count"), "3");
      await page.fill('textarea[name="message"]', "🌊".repeat(501));
      assert.equal(await page.textContent("#char-line"), "501 / 500 characters");
      await page.click("#submit-btn");
      assert.match(await page.textContent("#form-error"), /500 characters/);
      await page.fill('textarea[name="message"]', "   ");
      await page.click("#submit-btn");
      assert.match(await page.textContent("#form-error"), /write something/);
      await page.fill('textarea[name="message"]', "🌊".repeat(500));
      assert.equal(await page.textContent("#form-error"), "");
      await page.click("#submit-btn");
      await card(page, "🌊🌊🌊").waitFor();
    }));

  test("older entries come on demand, and the total is shown", () =>
    withTab({}, async (page) => {
      for (let i = 1; i <= 120; i++) await post(url, `entry number ${i}.`);
      await page.click("#refresh-btn");
      await page.locator("#load-more-btn").waitFor();
      await reads(page, "#feedback-count", "120");
      await shown(page, 50);
      await page.click("#load-more-btn");
      await card(page, "entry number 21.").waitFor();
      await page.click("#load-more-btn");
      await card(page, "entry number 1.").waitFor();
      await shown(page, 120);
      await gone(page, "#load-more-btn");
      const ids = (await page.locator(".feedback-id").allTextContents()).map((text) => Number(text.slice(1)));
      assert.deepEqual(ids, [...ids].sort((a, b) => b - a));
      assert.equal(new Set(ids).size, 120);
    }));

  test("when more came than a page has, nothing between is missing", () =>
    withTab({}, async (page) => {
      for (let i = 1; i <= 5; i++) await post(url, `early ${i}.`);
      await page.click("#refresh-btn");
      await card(page, "early 5.").waitFor();
      for (let i = 1; i <= 60; i++) await post(url, `late ${i}.`);
      await page.click("#refresh-btn");
      await card(page, "late 60.").waitFor();
      await page.click("#load-more-btn");
      await card(page, "early 1.").waitFor();
      await shown(page, 65);
    }));

  test("a vote is given and taken back, shown at once, and is this browser's", () =>
    withTab({}, async (page) => {
      await page.context().clearCookies();
      for (let i = 1; i <= 3; i++) await post(url, `wish ${i}.`);
      await page.reload();
      const button = card(page, "wish 2.").locator(".vote-btn");
      await button.waitFor();
      assert.equal(await button.getAttribute("aria-pressed"), "false");
      assert.equal(await button.textContent().then((text) => text.trim()), "0");
      assert.equal((await page.context().cookies()).length, 0); // who only reads gets none
      await button.focus();
      await page.keyboard.press("Enter");
      await page.locator("#toast.show", { hasText: "You have voted: 1 vote" }).waitFor();
      assert.equal(await button.getAttribute("aria-pressed"), "true");
      assert.match(await button.getAttribute("aria-label"), /^Vote for feedback \d+, 1 vote$/);
      assert.ok(await button.evaluate((element) => element === document.activeElement)); // the focus stays
      assert.equal((await page.context().cookies()).map((each) => `${each.name} ${each.sameSite}`).join(), "feedback_voter Lax");
      // another one's vote, and this one again after a reload
      const { id } = (await (await fetch(`${url}/v2/feedback`)).json()).find((item) => item.message === "wish 2.");
      const other = await fetch(`${url}/v2/feedback/${id}/vote`, { method: "PUT", headers: { Cookie: "feedback_voter=someone-else-0000001" } });
      assert.deepEqual(await other.json(), { id, votes: 2, voted: true });
      await page.reload();
      await card(page, "wish 2.").locator('.vote-btn[aria-pressed="true"]').waitFor();
      await card(page, "wish 2.").locator(".vote-btn", { hasText: "2" }).waitFor();
      await button.click();
      await page.locator("#toast.show", { hasText: "Your vote is taken back: 1 vote" }).waitFor();
      assert.equal(await button.getAttribute("aria-pressed"), "false");
      // one that cannot be given is not shown as if it was
      await page.route("**/vote", (route) => route.fulfill({ status: 503, json: { error: "The database is busy, please try again" } }));
      await button.click();
      await page.locator("#toast.show", { hasText: "The database is busy" }).waitFor();
      await card(page, "wish 2.").locator('.vote-btn[aria-pressed="false"]').waitFor();
      await card(page, "wish 2.").locator(".vote-btn", { hasText: "1" }).waitFor();
      await page.unroute("**/vote");
    }));

  test("the list can be sorted by votes, and shows where each stands", () =>
    withTab({}, async (page) => {
      const made = [];
      for (let i = 1; i <= 70; i++) made.push((await post(url, `number ${i}.`)).id);
      const voteFor = (index, voters) =>
        Promise.all([...Array(voters).keys()].map((n) => fetch(`${url}/v2/feedback/${made[index - 1]}/vote`, { method: "PUT", headers: { Cookie: `feedback_voter=voter-number-${String(n).padStart(4, "0")}` } })));
      await voteFor(5, 2);
      await voteFor(30, 3);
      await page.click("#refresh-btn");
      await page.selectOption("#sort-input", "votes");
      await page.waitForFunction(() => document.querySelector(".feedback-card .vote-count")?.textContent === "3");
      const texts = () => page.locator(".feedback-message").allTextContents();
      assert.deepEqual((await texts()).slice(0, 3), ["number 30.", "number 5.", "number 70."]);
      await reads(page, "#feedback-count", "70");
      await page.click("#load-more-btn");
      await card(page, "number 1.").waitFor();
      await shown(page, 70);
      assert.equal(new Set(await texts()).size, 70);
      // a vote does not make the cards jump away; what is written anew is shown whatever was chosen
      await card(page, "number 70.").locator(".vote-btn").click();
      await page.locator("#toast.show", { hasText: "You have voted" }).waitFor();
      assert.deepEqual((await texts()).slice(0, 3), ["number 30.", "number 5.", "number 70."]);
      await add(page, "brand new");
      await until(async () => (await page.inputValue("#sort-input")) === "", "the order is the usual one");
      await until(async () => (await texts())[0] === "brand new", "the new one comes first");
      await page.selectOption("#status-input", "done");
      await page.locator("#nothing-state").waitFor();
      await page.click("#search-clear-btn");
      await card(page, "number 70.").waitFor();
    }));

  test("names, roles and live regions are there for a screen reader", () =>
    withTab({}, async (page) => {
      await post(url, "hello");
      await page.click("#refresh-btn");
      await page.getByRole("heading", { level: 1, name: "Feedback App" }).waitFor();
      await page.getByRole("article", { name: /^Feedback \d+$/ }).waitFor();
      await page.getByRole("button", { name: /^Edit feedback \d+$/ }).waitFor();
      await page.getByRole("button", { name: /^Vote for feedback \d+, 0 votes$/, pressed: false }).waitFor();
      await page.getByRole("combobox", { name: "Sort by" }).waitFor();
      await page.getByRole("combobox", { name: "Show those with the status" }).waitFor();
      assert.equal(await page.getAttribute("#toast", "aria-live"), "polite");
      assert.equal(await page.getAttribute("html", "lang"), "en");
      await page.getByRole("button", { name: /Add Feedback/ }).click();
      await page.getByRole("dialog", { name: "Add Feedback" }).waitFor();
      await page.getByRole("textbox", { name: "Your message" }).waitFor();
      await page.fill('textarea[name="message"]', "x");
      await page.click("#submit-btn");
      await page.getByText("Feedback added").waitFor();
    }));

  test("it fits 320 to 1440 pixels in light and dark", async () => {
    await post(url, "The new search is quick and finds what I mean. Thank you!");
    await post(url, "Please let me sort the list by date, and keep the choice for my next visit.");
    await post(url, "Loading the report takes ages on my phone.\n\nIt was fine before Tuesday.");
    await post(url, `Aveverylongwordwithoutanyspace${"o".repeat(160)}`);
    await post(url, "日本語のフィードバックも大丈夫です。🌊");
    for (const colorScheme of ["light", "dark"])
      for (const width of [320, 360, 390, 900, 1440])
        await withTab({ colorScheme }, async (page) => {
          await page.setViewportSize({ width, height: width < 500 ? 844 : 900 });
          await page.locator(".feedback-card").nth(4).waitFor();
          await page.locator("#health-status.healthy").waitFor();
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
          assert.ok(overflow <= 0, `${width} px: ${overflow} px too wide`);
          const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
          const [r] = ground.match(/\d+/g).map(Number);
          assert.ok(colorScheme === "dark" ? r < 64 : r > 192, ground);
          if (shots) await page.screenshot({ path: `${shots}/list-${colorScheme}-${width}.png` });
          await page.click("#add-feedback-btn");
          await page.fill('textarea[name="message"]', "Works well on a small screen, too.");
          if (shots) await page.screenshot({ path: `${shots}/dialog-${colorScheme}-${width}.png` });
        });
  });
});

// Needs to stop the server, so only with one of our own.
describe("without a server", { skip: Boolean(REMOTE) }, () => {
  test("a banner says so, what was typed stays, and it recovers", async () => {
    const own = await App.start();
    try {
      const page = await browser.tab(own.url);
      await add(page, "before the outage");
      await own.stop("SIGKILL");
      await page.click("#refresh-btn");
      await page.locator("#away-banner").waitFor();
      await page.locator("#health-status.unhealthy").waitFor();
      await card(page, "before the outage").waitFor(); // still shown
      await page.click("#add-feedback-btn");
      await page.fill('textarea[name="message"]', "written during the outage");
      await page.click("#submit-btn");
      await page.locator("#form-error", { hasText: "does not answer" }).waitFor();
      assert.equal(await page.inputValue('textarea[name="message"]'), "written during the outage");
      if (shots) await page.screenshot({ path: `${shots}/away.png` });
      const again = await App.start({ port: own.port, dir: own.dir });
      own.child = again.child;
      own.exited = again.exited;
      await page.click("#submit-btn");
      await card(page, "written during the outage").waitFor();
      await page.locator("#away-banner").waitFor({ state: "hidden" });
      await page.locator("#health-status.healthy").waitFor();
      assert.deepEqual(page.problems, []);
      await page.close();
    } finally {
      await own.remove();
    }
  });

  test("a page that could load nothing says so instead of looking empty", async () => {
    const page = await browser.context.newPage();
    await page.route(`${url}/v2/feedback*`, (route) => route.fulfill({ status: 500, json: { error: "Internal server error" } }));
    await page.goto(url);
    await page.locator("#away-banner", { hasText: "Nothing could be loaded" }).waitFor();
    await gone(page, "#empty-state");
    await page.unroute(`${url}/v2/feedback*`);
    await page.click("#retry-btn");
    await page.locator("#empty-state").waitFor();
    await page.locator("#away-banner").waitFor({ state: "hidden" });
    await page.close();
  });
});
