// One platform, one browser, one after the other: what follows may rely on what is before it.
import assert from "node:assert/strict";
import { after, it } from "node:test";
import { ADMIN, asked, closeAll, origins, TOKENS } from "./platform.js";

after(closeAll);
await import("./canary.js");
await import("./people.js");
await import("./keyboard.js");
await import("./recovery.js");
await import("./markup.js");
await import("./receivers.js");
await import("./long.js");
await import("./faults.js");
await import("./pages.js");

it("asked nobody but Headgate, and never with a token in the address", () => {
  assert.ok(asked.length > 100, `${asked.length} requests`);
  const elsewhere = asked.filter(({ url }) => !origins.has(new URL(url).origin) && !url.startsWith("data:"));
  assert.deepEqual(elsewhere.map((r) => r.url), []);
  const secret = /hgt_|hgc_/;
  assert.deepEqual(asked.filter(({ url }) => secret.test(url) || Object.values(TOKENS).some((t) => url.includes(t))).map((r) => r.url), []);
  assert.deepEqual(asked.filter(({ headers }) => headers.cookie).map((r) => r.url), []);
  assert.ok(asked.some(({ url, headers }) => url.startsWith(`${ADMIN}/v1/live`) && headers.authorization), "the token goes in its header");
});
