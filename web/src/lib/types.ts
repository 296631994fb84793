// What the API says (docs/reference): only the members the page reads.

export type Role = "viewer" | "deployer" | "admin";

export interface Problem {
  title: string;
  status: number;
  detail?: string;
  code?: string;
  facts?: string;
  hint?: string;
  place?: { file: string; line: number; column: number; snippet?: string; caret?: number };
}

export interface Session {
  name: string;
  role: Role;
  expires_ms: number | null;
  version: string;
}

export interface Replica {
  replica: number;
  release: number;
  incarnation: number;
  state: string;
  crash_loop: boolean;
  pid: number;
  address: string;
  restarts: number;
  since_ms: number;
  started_ms: number;
  next_start_ms: number;
  cpu: number;
  cpu_seconds: number;
  memory_bytes: number;
  in_flight: number;
  reason: string;
  limits: { memory_bytes: number; memory_keeper: string; cpu: number; cpu_keeper: string };
  exit?: { status: number; text: string; at_ms: number; out_of_memory: boolean };
}

export interface RolloutBrief {
  id: number;
  state: string;
  phase: string;
  strategy: string;
  weight_set: number;
  weight_actual: number;
  step: number;
  steps: number;
  verdict: string;
  why: string;
  new_version: string;
}

export interface App {
  name: string;
  release: number;
  version: string;
  phase: string;
  reason: string;
  desired: number;
  ready: number;
  starting: number;
  total: number;
  restarts: number;
  rate: number;
  error_ratio: number | null;
  p95_seconds: number | null;
  maintenance: boolean;
  replicas?: Replica[];
  routes: string[];
  slo: { name: string; objective: number; left: number; burning: boolean }[];
  rollout: RolloutBrief | null;
}

export interface Event {
  id: number;
  ts_ms: number;
  kind: string;
  app: string;
  release: number;
  replica: number;
  evidence: unknown;
}

export interface Side {
  release: number;
  version: string;
  wanted: number;
  ready: number;
  starting: number;
  crash_loops: number;
}

export interface Counted {
  n: number;
  bad: number;
  rate: number;
  low: number;
  high: number;
}

export interface EvidenceMetric {
  metric: string;
  e: number;
  share: number;
  enabled: boolean;
  new: Counted;
  old: Counted;
}

export interface Failure {
  ts_ms: number;
  replica: number;
  cause: string;
  status: number;
  method: string;
  path: string;
  request_id: string;
  body: string;
}

export interface Step {
  weight: number;
  wait_ms: number;
  state: string;
  took_ms: number;
  unproven: boolean;
  proof: string;
}

export interface Gate {
  when: string;
  kind: string;
  run: string;
  state: string;
  took_ms: number;
  status: number;
  note: string;
}

export interface Rollout {
  id: number;
  app: string;
  strategy: string;
  who: string;
  old: Side;
  new: Side;
  state: string;
  phase: string;
  outcome: string;
  weight: { set: number; actual: number };
  step: { index: number; count: number; weight: number; since_ms: number; until_ms: number; wait_ms: number };
  steps: Step[];
  verdict: string;
  why: string;
  cause: string;
  evidence: {
    e: number;
    threshold: number;
    confidence: number;
    metrics: EvidenceMetric[];
    good: { e: number; needs: number; limit: number };
  };
  users: {
    requests_new: number;
    failed_new: number;
    rescued: number;
    seen: number;
    unreplayable: number;
    forced: number;
  };
  mirror: { share: number; copied: number; differs: number; failed: number; partly: number; dropped: number };
  back?: { requests: number; failures: number; took_ms: number };
  first_failures: Failure[];
  gates: Gate[];
  created_ms: number;
  changed_ms: number;
  ended_ms: number;
  next: string;
}

export interface RolloutLine {
  id: number;
  app: string;
  strategy: string;
  old: Side;
  new: Side;
  state: string;
  phase: string;
  outcome: string;
  cause: string;
  weight: { set: number; actual: number } | number;
  why: string;
  created_ms: number;
  ended_ms: number;
}

export type Column = (number | null)[];

export interface TraceSide {
  rate: Column;
  error_ratio: Column;
  p95: Column;
}

// One-second points of a rollout.
export interface Trace {
  id: number;
  all: boolean;
  t_ms: number[];
  set: Column;
  actual: Column;
  new: TraceSide;
  old: TraceSide;
  evidence: Column;
  rescued: Column;
  seen: Column;
}

export interface ColumnSeries {
  labels: Record<string, string>;
  values: Column;
}

export interface ColumnResult {
  error: string | null;
  series: ColumnSeries[];
}

export interface Columns {
  start_ms: number;
  step_ms: number;
  n: number;
  results: ColumnResult[];
}

export interface LogLine {
  ts: string;
  seq: number;
  app: string;
  release: number;
  replica: number;
  stream: string;
  level: string;
  text: string;
  cursor: string;
  event_ts?: string;
  note?: boolean;
  part?: string;
}

// Counts of lines by level, one number a bucket.
export interface LogVolume {
  start_ms: number;
  step_ms: number;
  n: number;
  debug: number[];
  info: number[];
  warn: number[];
  error: number[];
}

export interface AuditEntry {
  id: number;
  ts_ms: number;
  who: string;
  what: string;
  target: string;
  result: string;
  details: unknown;
}

export interface Config {
  text: string;
  file: string;
  dir: string;
  environment: string;
  applied_ms: number;
  effective?: string;
}
