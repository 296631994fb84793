// Opens one page of a site whose certificate nobody vouches for, and prints what it saw as JSON: used by
// tests/e2e/clients_test.py. usage: node visit.js URL
import { Browser } from "./lib.js";

const browser = await Browser.start({ ignoreHTTPSErrors: true });
try {
  const page = await browser.tab(process.argv[2]);
  await page.waitForFunction(() => document.title.startsWith("done"), null, { timeout: 20_000 });
  const seen = await page.evaluate(() => window.seen);
  console.log(JSON.stringify({ ...seen, problems: page.problems }));
} finally {
  await browser.stop();
}
