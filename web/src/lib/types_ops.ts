// What the API says of objectives, alerts, incidents and releases: only the members the page reads.
import type { App, Event } from "./types";

export interface BurnRule {
  long: string;
  short: string;
  severity: string;
  limit: number;
  burn_long: number;
  burn_short: number;
  holds: boolean;
}

export interface Slice {
  until_ms: number;
  bad: number;
  total: number;
  burn: number;
  left: number;
}

export interface Objective {
  app: string;
  slo: string;
  objective: number;
  window: string;
  window_s: number;
  bad: number;
  total: number;
  ratio: number | null;
  since_ms: number | null;
  faster_than_s?: number;
  budget: { allowed: number; left: number; minutes: number; minutes_left: number; exhausted_in_s: number | null };
  rules: BurnRule[];
  alerts: { severity: string; since_ms: number }[];
  history: { slice_minutes: number; slices: Slice[] };
  runbook: string;
  freeze_below: number | null;
  frozen: boolean;
}

export type Labels = Record<string, string>;

export interface Alert {
  labels: Labels;
  annotations: Labels;
  startsAt: string;
  fingerprint: string;
  status: { state: string; silencedBy: string[]; inhibitedBy: string[] };
}

export interface AlertGroup {
  labels: Labels;
  receiver: { name: string };
  alerts: Alert[];
  nextFlush: string;
  last: string;
  lastError?: string; // these when the last attempt failed
  lastChannel?: string;
  attempts?: number;
  failingSince?: string;
  nextAttempt?: string | null; // null: one is under way
}

export interface RuleAlert {
  labels: Labels;
  annotations: Labels;
  state: string;
  activeAt: string;
  value: string;
}

export interface RuleNote {
  message: string;
  hint?: string;
}

export interface Rule {
  name: string;
  query: string;
  type: string;
  state?: string;
  duration?: number;
  labels?: Labels;
  annotations?: Labels;
  alerts?: RuleAlert[];
  health: string;
  lastError?: string;
  evaluationTime: number;
  lastEvaluation: string;
  notes?: RuleNote[];
}

export interface RuleGroup {
  name: string;
  file: string;
  interval: number;
  rules: Rule[];
}

export interface Matcher {
  name: string;
  value: string;
  isRegex: boolean;
  isEqual: boolean;
}

export interface Silence {
  id: string;
  matchers: Matcher[];
  startsAt: string;
  endsAt: string;
  createdBy: string;
  comment: string;
  status: { state: string };
}

export interface Incident {
  id: number;
  app: string;
  cause: string;
  title: string;
  priority: string;
  state: string;
  assignee: string;
  runbook: string;
  escalations: number;
  opened_ms: number;
  acknowledged_ms: number | null;
  resolved_ms: number | null;
  due_ms: number | null;
  response_s: number;
}

export interface IncidentLine {
  ts_ms: number;
  kind: string;
  release: number;
  replica: number;
  text: string;
  event: Event["evidence"];
}

export interface IncidentWhole extends Incident {
  timeline: IncidentLine[];
}

export interface Release {
  number: number;
  version: string;
  digest?: string;
  created_ms: number;
  kept: boolean;
  serving: boolean;
  quarantined_by: number | null;
  rollout: number | null;
}

export interface Diff {
  old: number;
  new: number;
  changes: { what: string; change: "added" | "removed" | "changed"; hidden: boolean; old: string | null; new: string | null }[];
}

export interface Consumer {
  requests: number;
  over: number;
  counted: number;
  errors: number;
  refused: number;
  seconds: number;
  bytes_out: number;
  last_ms: number;
  consumer?: string;
  path?: string;
  route: string;
}

export interface AppAnswer {
  app: Partial<App> & Pick<App, "name">;
}
