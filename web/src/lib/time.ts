// Time: one clock that ticks once a second for all that says "12 s ago", and the range of all charts.
import { computed, signal } from "@preact/signals";
import { place, setQuery } from "./route";

// The server's clock: what it says is compared with its own times, not with a laptop's.
export const skew = signal(0);
export const now = signal(Date.now());
export const serverNow = () => Date.now() + skew.peek();
setInterval(() => (now.value = Date.now() + skew.peek()), 1000);

const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

// "-15m", "now", or milliseconds since 1970.
export function timeOf(text: string, at: number): number {
  const relative = /^-(\d+)([smhdw])$/.exec(text);
  if (relative) return at - Number(relative[1]) * UNITS[relative[2]!]!;
  return /^\d+$/.test(text) ? Number(text) : at;
}

export const RANGES: [string, string][] = [
  ["-5m", "5 min"],
  ["-15m", "15 min"],
  ["-1h", "hour"],
  ["-6h", "6 hours"],
  ["-24h", "day"],
  ["-7d", "week"],
  ["-30d", "30 days"],
];

export const from = computed(() => place.value.query.get("from") ?? "-1h");
export const to = computed(() => place.value.query.get("to") ?? "now");
export const live = computed(() => to.value === "now");

export function setRange(fromText: string, toText = "now") {
  setQuery({ from: fromText === "-1h" && toText === "now" ? undefined : fromText, to: toText === "now" ? undefined : toText });
}

export interface Span {
  startMs: number;
  endMs: number;
  stepMs: number;
}

const STEPS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];

// The span on a grid of steps, so that what was asked for before can be kept; about `points` of them.
export function spanOf(at: number, points = 240): Span {
  const start = timeOf(from.value, at);
  const end = Math.max(timeOf(to.value, at), start + 60_000);
  const wish = (end - start) / 1000 / points;
  const stepMs = 1000 * (STEPS.find((s) => s >= wish) ?? 86_400);
  return { startMs: Math.floor(start / stepMs) * stepMs, endMs: Math.floor(end / stepMs) * stepMs, stepMs };
}

// ---- the range by keyboard ----

const WIDTHS = [60_000, ...RANGES.map(([text]) => -timeOf(text, 0))];
const textOf = (ms: number) => RANGES.find(([text]) => -timeOf(text, 0) === ms)?.[0] ?? `-${Math.round(ms / 60_000)}m`;

// The range one half of itself earlier (-1) or later (1): what would reach into the future ends now.
export function moved(fromText: string, toText: string, at: number, by: number): [string, string] {
  const start = timeOf(fromText, at);
  const end = timeOf(toText, at);
  const half = Math.round((end - start) / 2);
  if (by > 0 && end + half >= at) return [textOf(end - start), "now"];
  return [String(start + by * half), String(end + by * half)];
}

// Half or twice as much time: around the middle, or up to now.
export function zoomed(fromText: string, toText: string, at: number, out: boolean): [string, string] {
  const start = timeOf(fromText, at);
  const end = timeOf(toText, at);
  const width = end - start;
  if (toText === "now") {
    const next = out ? WIDTHS.find((w) => w > width) : WIDTHS.filter((w) => w < width).at(-1);
    return [textOf(next ?? width), "now"];
  }
  const middle = (start + end) / 2;
  const half = Math.max(30_000, out ? width : width / 4);
  return middle + half >= at ? [textOf(2 * half), "now"] : [String(Math.round(middle - half)), String(Math.round(middle + half))];
}
