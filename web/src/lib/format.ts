// Numbers and times for people. Every number a page shows goes through here, so that they look alike.

const si = ["", " k", " M", " G", " T"];

export function number(v: number | null | undefined, digits = 3): string {
  if (v === null || v === undefined || !Number.isFinite(v)) return "–";
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (size >= 1e15 || size < 1e-4) return v.toExponential(1).replace("e+", "e");
  let n = v;
  let unit = 0;
  while (Math.abs(n) >= 10_000 && unit < si.length - 1) {
    n /= 1000;
    unit++;
  }
  return `${trim(n, digits)}${si[unit]}`;
}

// Significant digits, but whole numbers whole.
function trim(n: number, digits: number): string {
  if (Number.isInteger(n)) return String(n);
  const text = Math.abs(n) >= 10 ** (digits - 1) ? n.toFixed(0) : n.toPrecision(digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

export const count = (v: number) => v.toLocaleString("en-US").replaceAll(",", "\u202f");

export function ratio(v: number | null | undefined): string {
  if (v === null || v === undefined || !Number.isFinite(v)) return "–";
  const p = v * 100;
  if (p === 0) return "0 %";
  if (Math.abs(p) < 0.01) return `${p < 0 ? "-" : ""}<0.01 %`;
  return `${trim(p, Math.abs(p) >= 99 && Math.abs(p) < 100 ? 4 : 2 + (Math.abs(p) >= 10 ? 1 : 0))} %`;
}

// A share that is almost all, as objectives are: as many nines as there are, and one digit more.
export function nines(v: number | null | undefined): string {
  if (v === null || v === undefined || v < 0.99 || v >= 1) return ratio(v);
  const digits = Math.min(6, Math.max(2, Math.ceil(-Math.log10(100 - v * 100)) + 1));
  return `${String(Number((Math.floor(v * 10 ** (digits + 2) + 1e-6) / 10 ** digits).toFixed(digits)))} %`;
}

// What is left of an error budget: "71 %", or how many times it was spent.
export const budget = (left: number) => (left >= 0 ? ratio(left) : `${number(1 - left, 2)}× spent`);

export function seconds(v: number | null | undefined): string {
  if (v === null || v === undefined || !Number.isFinite(v)) return "–";
  if (v === 0) return "0 s";
  const size = Math.abs(v);
  if (size < 1e-3) return `${trim(v * 1e6, 2)} µs`;
  if (size < 1) return `${trim(v * 1e3, size < 0.1 ? 2 : 3)} ms`;
  if (size < 120) return `${trim(v, 3)} s`;
  return duration(v * 1000);
}

export function bytes(v: number | null | undefined): string {
  if (v === null || v === undefined || !Number.isFinite(v)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let n = v;
  let unit = 0;
  while (Math.abs(n) >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${trim(n, 3)} ${units[unit]}`;
}

// "4 s", "12 min", "3 h 20 min", "5 d 2 h"
export function duration(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (ms < 1000 && ms > 0) return `${Math.max(1, Math.round(ms))} ms`;
  if (s < 120) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 120) return s % 60 && m < 10 ? `${m} min ${s % 60} s` : `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 48) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  return h % 24 ? `${Math.floor(h / 24)} d ${h % 24} h` : `${Math.floor(h / 24)} d`;
}

// One unit: "12 s ago", "3 min ago", "5 h ago", "2 d ago".
export function ago(ms: number, at: number): string {
  const s = (at - ms) / 1000;
  if (s < 1.5) return "now";
  if (s < 100) return `${Math.round(s)} s ago`;
  if (s < 6000) return `${Math.round(s / 60)} min ago`;
  return s < 172_800 ? `${Math.round(s / 3600)} h ago` : `${Math.round(s / 86_400)} d ago`;
}

const two = (n: number) => String(n).padStart(2, "0");

export function clock(ms: number): string {
  const d = new Date(ms);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

export function day(ms: number): string {
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

export const stamp = (ms: number) => `${day(ms)} ${clock(ms)}`;

// The clock alone for what happened within the last 20 hours.
export const when = (ms: number, at: number) => (at - ms < 72_000_000 ? clock(ms) : stamp(ms).slice(0, 16));

export type Unit = "ratio" | "seconds" | "bytes" | "number" | "per_second" | "bytes_per_second" | "days" | "short";

export function inUnit(v: number | null | undefined, unit: Unit | string): string {
  switch (unit) {
    case "ratio":
    case "percentunit":
      return ratio(v);
    case "seconds":
      return seconds(v);
    case "bytes":
      return bytes(v);
    case "per_second":
    case "requests_per_second":
      return v === null || v === undefined ? "–" : `${number(v)}/s`;
    case "per_minute":
      return v === null || v === undefined ? "–" : `${number(v)}/min`;
    case "bytes_per_second":
      return v === null || v === undefined ? "–" : `${bytes(v)}/s`;
    case "days":
      return v === null || v === undefined ? "–" : `${number(v, 2)} d`;
    default:
      return number(v);
  }
}

// Who asked: "token:ci" came with a token, "unix:1000" over the socket on the machine itself; other names are people's.
export function person(who: string): string {
  const [, kind, name] = /^(token|unix):(.*)$/.exec(who) ?? [];
  return kind === "unix" ? (name === "0" ? "root" : `user ${name}`) : (name ?? who);
}
