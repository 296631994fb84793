// Alerts as people see them: grouped, with who was told, and what their rule says. Pure.
import type { Tone } from "../ui/bits";
import type { Alert, AlertGroup, Labels, Matcher, Rule, RuleAlert, RuleGroup, Silence } from "./types_ops";

export interface Failed {
  channel: string; // of the receiver: "webhook"
  why: string;
  attempts: number;
  since_ms: number;
  next_ms: number; // 0: it is being tried
}

export interface Told {
  receiver: string;
  last: string;
  next_ms: number;
  failed: Failed | null;
}

export interface Shown {
  alert: Alert;
  told: Told[];
}

export interface Group {
  key: string;
  labels: Labels;
  alerts: Shown[];
}

export function failedOf(g: AlertGroup): Failed | null {
  if (g.last !== "failed") return null;
  const time = (text: string | null | undefined, otherwise: string) => (text === null ? 0 : Date.parse(text ?? otherwise));
  return {
    channel: (g.lastChannel ?? "").replace(`${g.receiver.name}/`, ""),
    why: g.lastError ?? "",
    attempts: g.attempts ?? 1,
    since_ms: time(g.failingSince, g.nextFlush),
    next_ms: time(g.nextAttempt, g.nextFlush),
  };
}

const keyOf = (labels: Labels) => JSON.stringify(Object.entries(labels).sort());

// A group of alerts comes once for each receiver and route; here an alert is one, with all who are told of it. Those
// that no route takes have no group: they are put where they would be.
export function grouped(groups: AlertGroup[], all: Alert[]): Group[] {
  const out = new Map<string, Group>();
  const seen = new Map<string, Shown>();
  const place = (labels: Labels, alert: Alert): Shown => {
    const key = keyOf(labels);
    let group = out.get(key);
    if (!group) out.set(key, (group = { key, labels, alerts: [] }));
    const at = `${key} ${alert.fingerprint}`;
    let shown = seen.get(at);
    if (!shown) {
      group.alerts.push((shown = { alert, told: [] }));
      seen.set(at, shown);
      known.add(alert.fingerprint);
    }
    return shown;
  };
  const known = new Set<string>();
  for (const g of groups)
    for (const alert of g.alerts) place(g.labels, alert).told.push({ receiver: g.receiver.name, last: g.last, next_ms: Date.parse(g.nextFlush), failed: failedOf(g) });
  for (const alert of all) {
    if (known.has(alert.fingerprint)) continue;
    const { alertname, app } = alert.labels;
    place({ ...(alertname && { alertname }), ...(app && { app }) }, alert);
  }
  const rank = (g: Group) => Math.min(...g.alerts.map((s) => rankOf(s.alert)));
  return [...out.values()].sort((a, b) => rank(a) - rank(b) || (a.key < b.key ? -1 : 1));
}

// Receivers that cannot be told: each with how long, why it failed last, and when it is tried again.
export interface Failing extends Failed {
  receiver: string;
  groups: number;
}

export function failing(groups: AlertGroup[]): Failing[] {
  const out = new Map<string, Failing>();
  for (const g of groups) {
    const f = failedOf(g);
    if (!f) continue;
    const receiver = g.receiver.name;
    const had = out.get(receiver);
    if (!had) out.set(receiver, { ...f, receiver, groups: 1 });
    else Object.assign(had, { groups: had.groups + 1, since_ms: Math.min(had.since_ms, f.since_ms), next_ms: Math.min(had.next_ms, f.next_ms), attempts: had.attempts + f.attempts });
  }
  return [...out.values()].sort((a, b) => a.since_ms - b.since_ms);
}

const SEVERITIES = ["critical", "error", "warning", "info"];

function rankOf(a: Alert): number {
  const at = SEVERITIES.indexOf(a.labels.severity ?? "");
  return (a.status.state === "active" ? 0 : 10) + (at < 0 ? SEVERITIES.length : at);
}

export const toneOfSeverity = (severity: string | undefined): Tone => (severity === "critical" || severity === "error" ? "bad" : severity === "info" ? "plain" : "warn");

export const without = (labels: Labels, ...names: string[]): [string, string][] => Object.entries(labels).filter(([name]) => !names.includes(name));

export const sameLabels = (a: Labels, b: Labels) => keyOf(a) === keyOf(b);

// The rule of an alert and how the rule sees it: by all of its labels.
export function ruleOf(groups: RuleGroup[], labels: Labels): { rule: Rule; seen: RuleAlert | undefined } | null {
  let byName: Rule | null = null;
  for (const group of groups)
    for (const rule of group.rules) {
      if (rule.type !== "alerting" || rule.name !== labels.alertname) continue;
      const seen = rule.alerts?.find((a) => sameLabels(a.labels, labels));
      if (seen) return { rule, seen };
      byName ??= rule;
    }
  return byName && { rule: byName, seen: undefined };
}

// ---- what an expression compares ----

export interface Compared {
  left: string;
  op: string;
  limit: number | null; // null: it compares nothing with a number
}

const COMPARES = /^(.*\S)\s*(>=|<=|==|!=|>|<)\s*(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/is;

// "rate(x[5m]) > 3": what is on the left is there to be drawn also while it is not above 3. What is more than one
// comparison stays as it is.
export function compared(expr: string): Compared {
  const found = COMPARES.exec(expr.trim());
  const whole = { left: expr, op: "", limit: null };
  if (!found || !closed(found[1]!) || outside(found[1]!)) return whole;
  return { left: found[1]!, op: found[2]!, limit: Number(found[3]) };
}

const plainText = (expr: string) => expr.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`/g, '""');

function closed(expr: string): boolean {
  let depth = 0;
  for (const c of plainText(expr)) {
    if ("({[".includes(c)) depth++;
    else if (")}]".includes(c) && --depth < 0) return false;
  }
  return depth === 0;
}

// Set operators and comparisons outside of all brackets.
function outside(expr: string): boolean {
  let text = plainText(expr);
  for (let before = ""; before !== text; ) {
    before = text;
    text = text.replace(/\([^(){}[\]]*\)|\{[^(){}[\]]*\}|\[[^(){}[\]]*\]/g, " ");
  }
  return /\b(and|or|unless|bool)\b|[<>]|[=!]=/i.test(text);
}

// ---- silences ----

export function matches(m: Matcher, labels: Labels): boolean {
  const value = labels[m.name] ?? "";
  if (!m.isRegex) return (value === m.value) === m.isEqual;
  try {
    return new RegExp(`^(?:${m.value})$`, "s").test(value) === m.isEqual;
  } catch {
    return false; // what is no pattern here Headgate refuses with its reason
  }
}

export const matchesAll = (list: Matcher[], labels: Labels) => list.length > 0 && list.every((m) => matches(m, labels));

export const opOf = (m: Matcher) => (m.isRegex ? (m.isEqual ? "=~" : "!~") : m.isEqual ? "=" : "!=");

export const matcherText = (m: Matcher) => `${m.name}${opOf(m)}${JSON.stringify(m.value)}`;

const ORDER = ["active", "pending", "expired"];
export const silencesInOrder = (list: Silence[]) =>
  [...list].sort((a, b) => ORDER.indexOf(a.status.state) - ORDER.indexOf(b.status.state) || Date.parse(a.endsAt) - Date.parse(b.endsAt));
