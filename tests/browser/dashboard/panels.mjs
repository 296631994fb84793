// The stand-in's dashboards: the rows of schema/panels.toml, and numbers for their queries. What is answered for a
// moment is always the same, so that a chart made of tails is the chart that is asked for at once.
import { execFileSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

const TOOLS = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../tools");
const PRINT = `
import json, sys, tomllib
sys.path.insert(0, sys.argv[1])
import gen_panels
doc = tomllib.load(open(sys.argv[1] + "/../schema/panels.toml", "rb"))
print(json.dumps({"schema": "headgate.panels/1", "windows": gen_panels.WINDOWS, "dashboards": gen_panels.dashboards(doc)}))`;

const ABSENT = /^(errors_total|pg_|redis_|rabbitmq_|backup_)/;
const LES = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, "+Inf"];
const BASE = { ratio: 0.004, seconds: 0.06, requests_per_second: 240, per_second: 30, per_minute: 4, bytes: 90e6, bytes_per_second: 4e5, count: 3, cores: 0.4, days: 61, factor: 1.4, release: 12 };
const VALUES = {
  release: ["12", "13"],
  arm: ["old", "new"],
  level: ["warn", "error"],
  class: ["2", "3", "4", "5"],
  slo: ["availability"],
  window: ["1h", "6h", "3d"],
  metric: ["all", "errors", "p95"],
  device: ["eth0"],
  mountpoint: ["/"],
  route: ["/", "/api", "/api/items", "/login", "/static"],
  le: LES.map(String),
};

export function loadPanels() {
  return JSON.parse(execFileSync("python3", ["-B", "-c", PRINT, TOOLS], { encoding: "utf8", maxBuffer: 1 << 24 }));
}

// A query as it was asked, told by its row: $app and $window may be anything.
function matcher(expr) {
  const parts = expr.split(/\$(app|window)/).map((part, i) => (i % 2 ? (part === "app" ? '([^"]*)' : "\\w+") : part.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&")));
  return new RegExp(`^${parts.join("")}$`);
}

// Between 0 and 1, by moment and series.
function noise(t, k) {
  let h = (Math.imul(t, 2654435761) ^ Math.imul(k + 1, 40503)) >>> 0;
  h = Math.imul(h ^ (h >>> 15), 2246822519) >>> 0;
  return ((h ^ (h >>> 13)) >>> 0) / 4294967296;
}

const PHASES = [
  ["start", 60],
  ["gate", 120],
  ["step", 900],
  ["hold", 240],
  ["promote", 30],
  ["watch", 450],
];
function phaseAt(s) {
  let at = s % 3600;
  for (const [name, length] of PHASES) {
    if (at < length) return name;
    at -= length;
  }
  return "";
}

function rollouts(q, apps, times) {
  if (q.legend.includes("{{phase}}")) {
    return apps.slice(0, 2).flatMap((app, k) => PHASES.map(([phase]) => ({ labels: { app, phase, rollout: String(42 + k), state: "running", strategy: "canary" }, values: times.map((t) => (phaseAt(t / 1000 + k * 900) === phase ? 1 : null)) })));
  }
  const arms = q.legend.includes("serving") ? ["serving"] : ["new", "old"];
  return apps.slice(0, arms[0] === "serving" ? apps.length : 2).flatMap((app, k) =>
    arms.map((arm) => ({ labels: { app, arm }, values: times.map((t) => (arm === "serving" || phaseAt(t / 1000 + k * 900) ? 12 + (Math.floor((t / 1000 + k * 900) / 3600) % 9) + (arm === "new" ? 1 : 0) : null)) })),
  );
}

function labelSets(q, kind, apps) {
  const keys = [...new Set([...q.legend.matchAll(/\{\{(\w+)\}\}/g)].map((m) => m[1]))];
  if (kind === "table") keys.push("app", "route");
  if (kind === "heatmap" && !keys.includes("le")) keys.push("le");
  let sets = [{}];
  for (const key of keys) {
    const values = key === "app" ? apps : (VALUES[key] ?? ["a"]);
    if (key === "release" && keys.includes("arm")) continue;
    sets = sets.flatMap((set) => values.map((v) => ({ ...set, [key]: v, ...(key === "arm" && keys.includes("release") ? { release: v === "new" ? "13" : "12" } : {}) })));
  }
  return sets.slice(0, kind === "table" ? 40 : 200);
}

// Requests pile up below about 30 ms, and a second heap of slow ones comes and goes.
function bucket(le, t) {
  const edge = le === "+Inf" ? 60 : Number(le);
  const middle = 0.02 * (1 + 0.5 * Math.sin(t / 900_000));
  const share = (m, w) => 1 / (1 + Math.exp(-(Math.log(edge) - Math.log(m)) / w));
  return 220 * share(middle, 0.35) + 40 * Math.max(0, Math.sin(t / 700_000)) * share(0.4, 0.2);
}

export function panelAnswers(panels) {
  const known = panels.dashboards.flatMap((d) => d.panels.flatMap((p) => p.queries.map((q) => ({ q, kind: p.kind, of: matcher(q.expr) }))));
  return (query, times, names) => {
    if (query.includes(" unless ")) return { error: null, series: [] }; // releases: the journal has them
    const row = known.find((one) => one.of.test(query));
    if (!row) return null;
    const { q, kind } = row;
    const at = known.indexOf(row);
    if (q.needs && ABSENT.test(q.needs)) return { error: null, series: [] };
    const pattern = row.of.exec(query)[1];
    const apps = pattern === undefined ? names : names.filter((n) => new RegExp(`^(${pattern.replace(/\\\\/g, "\\")})$`).test(n));
    if (kind === "timeline") return { error: null, series: rollouts(q, apps, times) };
    const base = BASE[q.unit] ?? 1;
    const series = labelSets(q, kind, apps).map((labels, j) => {
      const size = base * (0.4 + 1.2 * noise(7 + at, j)) * (labels.class ? [1, 0.05, 0.03, 0.004][Number(labels.class) - 2] : 1);
      const whole = q.unit === "count" || q.unit === "release";
      const value = (t) => size * (1 + 0.25 * Math.sin(t / (300_000 + 40_000 * (at % 7)) + j + at) + 0.12 * noise(Math.floor(t / 5000), j + at));
      return { labels, values: times.map((t) => (labels.le ? bucket(labels.le, t) : whole ? Math.round(value(t)) : value(t))) };
    });
    return { error: null, series };
  };
}
