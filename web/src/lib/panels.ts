// The dashboards as GET /v1/panels has them, and what is worked out of them. Pure: answers in, what is drawn out.
import type { Mark } from "../ui/chart";
import type { Column, ColumnSeries, Event } from "./types";

export interface PanelQuery {
  expr: string;
  legend: string;
  unit: string;
  needs: string | null;
}

export interface Panel {
  id: string;
  title: string;
  help: string;
  kind: "lines" | "stacked" | "heatmap" | "table" | "stat" | "timeline";
  unit: string;
  scale: "linear" | "log";
  width: number; // of 24
  thresholds: { value: number; colour: "yellow" | "red"; text: string }[];
  links: { title: string; route: string }[];
  queries: PanelQuery[];
}

export interface Dashboard {
  id: string;
  title: string;
  help: string;
  variables: string[];
  window: string;
  markers: string;
  panels: Panel[];
}

export interface Panels {
  windows: string[];
  dashboards: Dashboard[];
}

export const labelText = (labels: Record<string, string>) =>
  Object.keys(labels)
    .sort()
    .map((k) => `${k}=${JSON.stringify(labels[k])}`)
    .join(",");

// A name as a regular expression that matches it alone, as it stands within quotes of PromQL.
export const appPattern = (app: string) =>
  app ? app.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&").replace(/[\\"]/g, "\\$&").replace(/\n/g, "\\n") : ".*";

export function fill(expr: string, app: string, window: string): string {
  return expr.replace(/\$(app|window)\b/g, (_, name) => (name === "app" ? appPattern(app) : window));
}

export function legendOf(template: string, labels: Record<string, string>): string {
  const text = template.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? "");
  return text.replace(/\s+/g, " ").trim() || labelText(labels) || "value";
}

const UNIT_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
export const windowMs = (text: string) => parseInt(text, 10) * (UNIT_MS[text.slice(-1)] ?? 1000);

// Rates are taken over the dashboard's own window, but over no less than a step (else samples between two points
// would be in none of them), and over no more than a quarter of the range (else a short one shows only its own past).
export function windowFor(windows: string[], own: string, rangeMs: number, stepMs: number): string {
  const sorted = [...windows].sort((a, b) => windowMs(a) - windowMs(b));
  const fit = sorted.filter((w) => windowMs(w) >= stepMs);
  const most = Math.min(windowMs(own), rangeMs / 4);
  return fit.filter((w) => windowMs(w) <= most).at(-1) ?? fit[0] ?? sorted.at(-1) ?? own;
}

export function lastOf(values: Column): number | null {
  for (let i = values.length - 1; i >= Math.max(0, values.length - 3); i--) {
    const v = values[i];
    if (v !== null && v !== undefined) return v;
  }
  return null;
}

// The lines to show when there are more than `most`: apps (or what else tells lines apart) with the highest last value
// in the first query that has them, each with all of its lines, from each query in turn. In the order in which they
// came: colours stay where they are.
export function topLines<T extends { values: Column; group: string; query: number }>(lines: T[], most: number): T[] {
  if (lines.length <= most) return lines;
  const groups = new Map<string, { query: number; score: number; lines: T[] }>();
  for (const line of lines) {
    const score = lastOf(line.values) ?? -Infinity;
    const group = groups.get(line.group);
    if (!group) groups.set(line.group, { query: line.query, score, lines: [line] });
    else {
      group.lines.push(line);
      if (line.query === group.query) group.score = Math.max(group.score, score);
    }
  }
  const turns = new Map<number, { score: number; lines: T[] }[]>();
  for (const g of groups.values()) turns.set(g.query, [...(turns.get(g.query) ?? []), g]);
  for (const list of turns.values()) list.sort((a, b) => (b.score > a.score ? 1 : b.score < a.score ? -1 : 0));
  const keep = new Set<T>();
  const longest = Math.max(...[...turns.values()].map((list) => list.length));
  for (let i = 0; i < longest; i++) {
    for (const list of turns.values()) {
      const next = list[i]?.lines ?? [];
      if (keep.size && keep.size + next.length > most) continue;
      for (const line of next) keep.add(line);
    }
  }
  return lines.filter((line) => keep.has(line));
}

// ---- heatmap ----

export interface Heat {
  edges: number[]; // upper edges, rising; the last may be Infinity
  rows: Column[]; // for each edge what lies between it and the one below, at each time
  top: number; // the largest cell
}

const edgeOf = (s: ColumnSeries) => (s.labels.le === "+Inf" ? Infinity : Number(s.labels.le));

// Cumulative buckets to what each of them holds; buckets at both ends that never hold anything are left out.
export function heatOf(series: ColumnSeries[]): Heat {
  const sorted = series.filter((s) => !Number.isNaN(edgeOf(s))).sort((a, b) => edgeOf(a) - edgeOf(b));
  const rows: Column[] = sorted.map((s, k) =>
    s.values.map((v, i) => {
      if (v === null) return null;
      const below = k ? (sorted[k - 1]!.values[i] ?? 0) : 0;
      return Math.max(0, v - below);
    }),
  );
  const full = (row: Column) => row.some((v) => v !== null && v > 1e-9);
  let from = rows.findIndex(full);
  let to = rows.length - 1;
  while (to >= 0 && !full(rows[to]!)) to--;
  if (from < 0) return { edges: [], rows: [], top: 0 };
  from = Math.max(0, from - 1);
  to = Math.min(rows.length - 1, to + 1);
  let top = 0;
  for (let k = from; k <= to; k++) for (const v of rows[k]!) if (v !== null && v > top) top = v;
  return { edges: sorted.slice(from, to + 1).map(edgeOf), rows: rows.slice(from, to + 1), top };
}

// The edge under which `share` of a column's observations lie, and how many there are.
export function heatAt(heat: Heat, i: number, share: number): { edge: number; sum: number } | null {
  let sum = 0;
  for (const row of heat.rows) sum += row[i] ?? 0;
  if (!sum) return null;
  let seen = 0;
  for (let k = 0; k < heat.rows.length; k++) {
    seen += heat.rows[k]![i] ?? 0;
    if (seen >= sum * share) return { edge: heat.edges[k]!, sum };
  }
  return { edge: heat.edges.at(-1)!, sum };
}

// ---- timeline ----

export interface Band {
  fromMs: number;
  toMs: number;
  text: string;
  kind: string; // a phase, or "release"
  value: number;
}

export interface Row {
  name: string;
  bands: Band[];
}

// Where a series is there without a break and does not change its value is one band.
function bandsOf(s: ColumnSeries, times: number[], stepMs: number, text: (v: number) => string, kind: string): Band[] {
  const out: Band[] = [];
  s.values.forEach((v, i) => {
    const last = out.at(-1);
    const at = times[i]!;
    if (v === null) return;
    if (last && last.value === v && at - last.toMs <= 0) last.toMs = at + stepMs;
    else out.push({ fromMs: at, toMs: at + stepMs, text: text(v), kind, value: v });
  });
  return out;
}

export function rowsOf(found: { query: PanelQuery; series: ColumnSeries[] }[], times: number[], phase: (name: string) => string): Row[] {
  const stepMs = times.length > 1 ? times[1]! - times[0]! : 15_000;
  const rows = new Map<string, Row>();
  for (const { query, series } of found) {
    for (const s of series) {
      const of = s.labels.phase;
      const name = of ? `${s.labels.app ?? ""} rollout`.trim() : legendOf(query.legend, s.labels);
      const state = s.labels.state && s.labels.state !== "running" ? `, ${s.labels.state}` : "";
      const text = of ? () => `${s.labels.rollout ?? ""} ${phase(of)}${state}`.trim() : (v: number) => `release ${v}`;
      const row = rows.get(name) ?? { name, bands: [] };
      row.bands.push(...bandsOf(s, times, stepMs, text, of ?? "release"));
      rows.set(name, row);
    }
  }
  for (const row of rows.values()) {
    row.bands.sort((a, b) => a.fromMs - b.fromMs);
    // One point may have two phases: the later one begins there.
    row.bands.forEach((b, i) => {
      const next = row.bands[i + 1];
      if (next && next.fromMs < b.toMs) b.toMs = next.fromMs;
    });
    row.bands = row.bands.filter((b) => b.toMs > b.fromMs);
  }
  return [...rows.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

// ---- table ----

export interface TableRow {
  labels: Record<string, string>;
  values: (number | null)[]; // one a query
}

// Series of several queries with the same labels are one row.
export function tableOf(found: { series: ColumnSeries[] }[], keys: string[]): TableRow[] {
  const rows = new Map<string, TableRow>();
  found.forEach(({ series }, k) => {
    for (const s of series) {
      const v = lastOf(s.values);
      if (v === null) continue;
      const labels = Object.fromEntries(keys.map((key) => [key, s.labels[key] ?? ""]));
      const name = labelText(labels);
      const row = rows.get(name) ?? { labels, values: found.map(() => null) };
      row.values[k] = v;
      rows.set(name, row);
    }
  });
  return [...rows.values()];
}

// ---- releases ----

const MARKED: Record<string, [string, Mark["tone"]]> = {
  "rollout.started": ["starts", "plain"],
  "rollout.promoted": ["serves", "good"],
  "rollout.back": ["back", "bad"],
};

// Releases by the journal, and by the dashboard's own expression for times before what is known of the journal.
export function marksOf(events: Event[], series: ColumnSeries[], times: number[], app: string): Mark[] {
  const oldest = events.length ? Math.min(...events.map((e) => e.ts_ms)) : Infinity;
  const start = times[0] ?? 0;
  const end = times.at(-1) ?? 0;
  const name = (of: string) => (app ? "" : `${of} `);
  const out: Mark[] = [];
  for (const e of events) {
    const known = MARKED[e.kind];
    if (!known || (app && e.app !== app) || e.ts_ms < start || e.ts_ms > end) continue;
    out.push({ ms: e.ts_ms, label: `${name(e.app)}${e.release || ""} ${known[0]}`.replace("  ", " "), tone: known[1] });
  }
  for (const s of series) {
    const serves = s.labels.arm === "serving";
    s.values.forEach((v, i) => {
      const at = times[i]!;
      // True for as long as its offset: the first point counts.
      if (v === null || at >= oldest || (i > 0 && s.values[i - 1] !== null)) return;
      out.push({ ms: at, label: `${name(s.labels.app ?? "")}${s.labels.release ?? ""} ${serves ? "serves" : "starts"}`, tone: serves ? "good" : "plain" });
    });
  }
  return out.sort((a, b) => a.ms - b.ms);
}
