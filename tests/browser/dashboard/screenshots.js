// Pictures of every page in both schemes, at a desk's width and a phone's. usage: node screenshots.js FOLDER, started by
// tools/screenshots.sh. A picture that is too big as PNG is kept as JPEG.
import { mkdir, rm, stat } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { closeAll, headgate, HOOK, ok, open, pages, profile, rollout, settled, show, until } from "./platform.js";

const BYTES_MOST = 200_000;
const SIZES = { 1440: 900, 390: 844 };
const SAMPLES_MS = 150_000; // a chart with little in it shows little
const LIVE_MS = 30_000; // of these the new release has
const folder = process.argv[2];

const deploy = async (app, version) => JSON.parse(await headgate("deploy", app, "--version", version, "--detach", "--json")).id;
const ended = (id, outcome) => until(async () => (await rollout(id)).outcome === outcome, `rollout ${id} is ${outcome}`, 120);

async function picture(page, name) {
  const at = path.join(folder, name);
  await page.screenshot({ path: `${at}.png`, scale: "css" });
  if ((await stat(`${at}.png`)).size <= BYTES_MOST) return;
  await rm(`${at}.png`);
  for (const quality of [80, 65, 50]) {
    await page.screenshot({ path: `${at}.jpg`, scale: "css", type: "jpeg", quality });
    if ((await stat(`${at}.jpg`)).size <= BYTES_MOST) return;
  }
}

async function pictures(page, name, hash, open) {
  await show(page, hash);
  if (open) await page.locator(open).first().click();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const [width, height] of Object.entries(SIZES)) {
      await page.setViewportSize({ width: Number(width), height });
      await page.evaluate(() => (document.activeElement.blur(), scrollTo(0, 0)));
      await settled(page);
      await picture(page, `${name}-${colorScheme}-${width}`);
    }
  }
}

// One of the two receivers takes nothing.
const hook = http.createServer((asked, answer) => asked.resume().on("end", () => answer.writeHead(asked.url === "/team" ? 200 : 503).end()));
hook.listen(Number(new URL(HOOK).port), "127.0.0.1");

// What is below the pages of the navigation: [name, address, what is clicked on].
const below = (back, incident) => [
  ["rollout", `#/rollouts/${back}?from=-5m`],
  ["canary", "#/dashboards/canary?from=-5m"],
  ["infrastructure", "#/dashboards/infrastructure?from=-5m"],
  ["releases", "#/apps/feedback/releases?a=1&b=2"],
  ["app", "#/apps/feedback?from=-5m"],
  ["incident", `#/incidents/${incident}`],
  ["receivers", "#/alerts?view=receivers"],
  ["audit-entry", "#/audit", ".audit .vrow"],
  ["log-line", "#/logs?from=-5m&level=warn", ".loglist .vrow"],
  ["config-check", "#/config?view=check"],
];

try {
  await mkdir(folder, { recursive: true });
  const began = Date.now();
  const promoted = await deploy("accounts", "good");
  await ended(promoted, "promoted");
  const back = await deploy("feedback", "bad");
  await ended(back, "rolled_back");
  await until(async () => (await ok("GET", "/v1/incidents")).incidents.length > 0, "an incident", 60);
  await until(async () => (await ok("GET", "/api/v2/alerts")).some((a) => a.status.state === "active"), "an alert", 120);
  const [first] = (await ok("GET", "/v1/incidents")).incidents;
  await ok("POST", `/v1/incidents/${first.id}/ack`, { body: { note: "looking at the release" } });
  await until(() => Date.now() - began > SAMPLES_MS - LIVE_MS, "samples", 180);
  const live = await deploy("feedback", "next");
  await until(() => Date.now() - began > SAMPLES_MS, "samples of the new release", 180);

  const context = await profile();
  const page = await open(context, "admin", "#/overview?from=-5m");
  const list = await pages(page);
  await pictures(page, "rollout-live", `#/rollouts/${live}?from=-5m`);
  for (const { hash } of list) await pictures(page, hash.replace("#/", ""), `${hash}?from=-5m`);
  const others = below(back, first.id);
  for (const one of others) await pictures(page, ...one);
  console.log(`${4 * (list.length + 1 + others.length)} pictures in ${folder}`);
} finally {
  hook.closeAllConnections();
  hook.close();
  await closeAll();
}
