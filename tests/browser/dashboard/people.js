// Who may do what, who sees what others did, and how people come in and are sent out.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { abort, ADMIN, api, deploy, fine, headgate, ok, open, profile, show, tab, TOKENS, until } from "./platform.js";

const STEER = ["Promote", "Promote all the way", "Pause", "Abort"];
const buttons = (page) => page.locator("main header.head .buttons button").allInnerTexts();
const has = (page, ...names) => until(async () => (await buttons(page)).join() === names.join(), `the buttons ${names}`);

describe("people", () => {
  const contexts = [];
  const person = async (...given) => {
    const context = await profile();
    contexts.push(context);
    return open(context, ...given);
  };
  let id;
  before(async () => (id = await deploy("shop")));
  after(async () => {
    for (const context of contexts) await context.close();
  });

  it("who only looks has no button that he may not press, and is refused without one", async () => {
    const deployer = await person("deployer", `#/rollouts/${id}`);
    await has(deployer, ...STEER);
    const viewer = await person("viewer", `#/rollouts/${id}`);
    await viewer.locator("section.verdict").waitFor();
    assert.deepEqual(await buttons(viewer), []);
    for (const name of [...STEER, "Resume", "Retry", /^Roll back/]) assert.equal(await viewer.locator("main").getByRole("button", { name, exact: true }).count(), 0, `${name}`);
    await viewer.keyboard.press("a");
    assert.equal(await viewer.locator("dialog").count(), 0, "nor a key that does it");
    const asked = [
      ...["promote", "pause", "resume", "abort", "retry"].map((verb) => [`/v1/rollouts/${id}/${verb}`, {}]),
      [`/v1/rollouts/${id}/promote`, { full: true }],
      ["/v1/apps/shop/rollback", { to: 1 }],
      ["/v1/apps/shop/rollouts", { env: { VERSION: "x" } }],
      ["/v1/apps/shop/scale", { replicas: 2 }],
      ["/v1/apps/shop/restart", {}],
    ];
    for (const [path, body] of asked) {
      const { status, body: problem } = await api("POST", path, { role: "viewer", body });
      assert.deepEqual([path, status, problem.code], [path, 403, "HG1612"]);
    }
    assert.equal((await ok("GET", `/v1/rollouts/${id}`)).state, "running", "nothing of it was done");
    for (const page of [deployer, viewer]) fine(page);
  });

  it("pages for admins are neither in the navigation of others nor answered", async () => {
    const names = async (role) => (await (await person(role)).locator("nav li a").allInnerTexts()).map((name) => name.replace(/\d+$/, "").trim());
    const [viewer, admin] = [await names("viewer"), await names("admin")];
    assert.deepEqual(admin.filter((name) => !viewer.includes(name)), admin.filter((name) => /^(Audit|Configuration)$/.test(name)));
    for (const path of ["/v1/config", "/v1/audit"]) assert.equal((await api("GET", path, { role: "deployer" })).status, 403, path);
  });

  it("one aborts, and the other sees it within two seconds without a reload", async () => {
    const one = await person("deployer", `#/rollouts/${id}`);
    const other = await person("viewer", `#/rollouts/${id}`);
    await one.getByRole("button", { name: "Pause" }).click();
    await one.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
    await other.locator("section.verdict", { hasText: "is paused" }).waitFor();
    assert.match(await other.locator("header.head .state").innerText(), /paused/);
    await has(one, "Promote", "Promote all the way", "Resume", "Abort");

    await other.evaluate(() => {
      window.same = true;
      new MutationObserver(() => {
        if (document.querySelector('[data-verdict="rolled_back"]')) window.seenMs ??= Date.now();
      }).observe(document.body, { subtree: true, childList: true, attributes: true });
    });
    await one.getByRole("button", { name: "Abort" }).click();
    const dialog = one.getByRole("dialog", { name: /^Abort the release of / });
    await dialog.waitFor();
    const pressedMs = Date.now();
    await dialog.getByRole("button", { name: "Abort" }).click();
    await other.locator('[data-verdict="rolled_back"]').waitFor();
    const { seenMs, same } = await other.evaluate(() => ({ seenMs: window.seenMs, same: window.same }));
    assert.equal(same, true);
    assert.ok(seenMs - pressedMs < 2000, `seen after ${seenMs - pressedMs} ms`);
    assert.match(await other.locator("section.verdict").innerText(), /was taken back: somebody aborted it/);
    assert.match(await other.locator(".ribbon").innerText(), /rolled back: somebody aborted it/);
    await dialog.waitFor({ state: "detached" });
    await has(one, "Retry");
    for (const page of [one, other]) fine(page);
  });

  it("headgate open signs in once; its code leaves the address at once", async () => {
    const link = (await headgate("open", "--role", "deployer")).trim();
    assert.match(link, /#\/login\?code=hgc_[0-9a-f]{32,}$/);
    const context = await profile();
    contexts.push(context);
    const page = await tab(context);
    await page.goto(link);
    await page.locator("[data-connection=live]").waitFor();
    assert.equal(new URL(page.url()).hash, "#/overview");
    assert.equal(await page.locator(".who .role").innerText(), "deployer");
    fine(page);
    await page.goBack();
    assert.doesNotMatch(page.url(), /hgc_/, "nor is it in the history");

    const second = await tab(await profile().then((c) => (contexts.push(c), c)), { expected: /status of 401 .*\/v1\/session/ });
    await second.goto(link);
    const trouble = second.getByRole("alert");
    await trouble.waitFor();
    assert.match(await trouble.innerText(), /HG1621/);
    assert.doesNotMatch(second.url(), /hgc_/);
    assert.equal(await second.locator("nav").count(), 0);
    fine(second);
  });

  it("a wrong token is refused in words, a right one is kept for this tab, or for this browser when asked to", async () => {
    const context = await profile();
    contexts.push(context);
    const page = await tab(context, { expected: /status of 401 .*\/v1\/session/ });
    await page.goto(`${ADMIN}/#/rollouts?app=shop`);
    await page.getByLabel("Token").fill("hgt_wrong");
    await page.getByRole("button", { name: "Sign in" }).click();
    assert.match(await page.getByRole("alert").innerText(), /HG1611/);
    await page.getByLabel("Token").fill(` ${TOKENS.viewer} `);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.locator("main h1", { hasText: "Releases" }).waitFor();
    assert.match(page.url(), /#\/rollouts\?app=shop$/, "where the address led");
    const neighbour = await tab(context);
    await neighbour.goto(ADMIN);
    await neighbour.getByLabel("Token").fill(TOKENS.deployer);
    await neighbour.getByLabel("Stay signed in").check();
    await neighbour.getByRole("button", { name: "Sign in" }).click();
    await neighbour.locator("[data-connection=live]").waitFor();
    const third = await tab(context);
    await third.goto(ADMIN);
    await third.locator(".who .role", { hasText: "deployer" }).waitFor();
    await third.getByRole("button", { name: "Sign out" }).click();
    await third.getByLabel("Token").waitFor();
    assert.equal(await third.evaluate(() => localStorage.getItem("headgate-token")), null);
    for (const p of [page, neighbour]) fine(p);
  });

  for (const [what, more, end] of [
    ["revoked", [], (name) => headgate("token", "revoke", name)],
    ["over", ["--expires", "4s"], () => {}],
  ]) {
    it(`a token that is ${what} sends its user to the login page, which says why`, async () => {
      const name = `brief-${what}`;
      const { token } = JSON.parse(await headgate("token", "create", name, "--json", ...more));
      const page = await person(token, "#/overview", { expected: /status of 401 / });
      await end(name);
      // By itself: nobody presses anything.
      const trouble = page.locator(".login [role=alert]");
      await trouble.waitFor();
      assert.match(await trouble.innerText(), what === "over" ? /expired[\s\S]*HG1620/ : /HG1611/);
      await page.getByLabel("Token").waitFor();
      assert.equal(await page.locator("nav").count(), 0);
      assert.equal(await page.evaluate(() => sessionStorage.getItem("headgate-token")), null);
      fine(page);
    });
  }
});
