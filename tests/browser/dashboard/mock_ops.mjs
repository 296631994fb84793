// The stand-in's objectives, alerts, incidents, releases and consumers: as rich as a bad day.
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const iso = (ms) => new Date(ms).toISOString();

const RULES = [
  ["critical", "1h", "5m", 14.4],
  ["critical", "6h", "30m", 6],
  ["warning", "1d", "2h", 3],
  ["warning", "3d", "6h", 1],
];

// Bad answers in each of 60 parts of the window; one part stands out.
function history(now, seed, heavy) {
  const slices = [];
  let bad = 0;
  const each = Array.from({ length: 60 }, (_, i) => Math.round((3 + ((i * 7 + seed) % 5)) * (i === 41 ? heavy : 1)));
  const allowed = 1800;
  each.forEach((b, i) => {
    bad += b;
    slices.push({ until_ms: now - (59 - i) * 12 * HOUR, bad: b, total: 60_000, burn: b / 60_000 / 0.0005, left: 1 - bad / allowed });
  });
  return { slices, bad, left: 1 - bad / allowed, allowed };
}

function objective(app, slo, now, seed, heavy, burning) {
  const h = history(now, seed, heavy);
  const burn = burning ? 17.2 : 0.4;
  return {
    app,
    slo,
    objective: slo === "latency" ? 0.95 : 0.9995,
    window: "30d",
    window_s: 30 * 86_400,
    bad: h.bad,
    total: 3_600_000,
    ratio: 1 - h.bad / 3_600_000,
    since_ms: now - 30 * 24 * HOUR,
    ...(slo === "latency" && { faster_than_s: 0.1 }),
    budget: { allowed: h.allowed, left: h.left, minutes: 21.6, minutes_left: 21.6 * h.left, exhausted_in_s: burning ? 9400 : h.left <= 0 ? 0 : null },
    rules: RULES.map(([severity, long, short, limit], i) => ({ long, short, severity, limit, burn_long: burn / (1 + i), burn_short: (burn * 1.1) / (1 + i), holds: burn / (1 + i) > limit })),
    alerts: burning ? [{ severity: "critical", since_ms: now - 7 * MINUTE }] : [],
    history: { slice_minutes: 720, slices: h.slices },
    runbook: "docs/runbooks/error-budget-burns.md",
    freeze_below: 0.1,
    frozen: h.left < 0.1,
  };
}

function alert(fingerprint, labels, annotations, since, status = {}) {
  return { labels, annotations, startsAt: iso(since), endsAt: iso(since + 300_000), updatedAt: iso(since), fingerprint, generatorURL: "", receivers: [{ name: "team" }], status: { state: "active", silencedBy: [], inhibitedBy: [], ...status } };
}

function alertsAt(now, silences) {
  const runbook_url = "https://example.com/runbooks/errors";
  const list = [
    alert("a1", { alertname: "HighErrorRate", app: "checkout", severity: "critical", team: "shop" }, { summary: "checkout: 6.2% of the requests fail", description: "More than 5% for 2 minutes.", runbook_url }, now - 9 * MINUTE),
    alert("a2", { alertname: "ErrorBudgetBurn", app: "catalogue", severity: "critical", slo: "availability" }, { summary: "catalogue: 310 of 42000 answers in 1h were bad, 17.2 times what the objective allows (alert above 14.4); 8.0 % of the budget is left", runbook_url }, now - 7 * MINUTE),
    alert("a3", { alertname: "ReplicaDown", app: "images", severity: "warning", replica: "2" }, { summary: "images: replica 2 is not up" }, now - 2 * HOUR),
    alert("a4", { alertname: "ReplicaDown", app: "images", severity: "warning", replica: "5" }, { summary: "images: replica 5 is not up" }, now - 40 * MINUTE),
    alert("a5", { alertname: "DiskFills", instance: "host", severity: "info" }, { summary: "the disk is full in 3 days" }, now - 26 * HOUR),
  ];
  for (const a of list) {
    const by = silences.filter((s) => s.status.state === "active" && s.matchers.every((m) => (a.labels[m.name] === m.value) === m.isEqual)).map((s) => s.id);
    if (by.length) a.status = { state: "suppressed", silencedBy: by, inhibitedBy: [] };
  }
  return list;
}

function groupsOf(alerts, now) {
  const group = (labels, receiver, some, last, next, more = {}) => ({ labels, receiver: { name: receiver }, alerts: some, nextFlush: iso(now + next), last, ...more });
  const refused = { lastError: "403 forbidden", lastChannel: "oncall/pagerduty", attempts: 5, failingSince: iso(now - 70_000), nextAttempt: iso(now + 12_000) };
  return [
    group({ alertname: "HighErrorRate", app: "checkout" }, "team", [alerts[0]], "sent", 140_000),
    group({ alertname: "HighErrorRate", app: "checkout" }, "oncall", [alerts[0]], "failed", 12_000, refused),
    group({ alertname: "ErrorBudgetBurn", app: "catalogue" }, "team", [alerts[1]], "waiting", 22_000),
    group({ alertname: "ReplicaDown", app: "images" }, "team", [alerts[2], alerts[3]], "nothing new", 200_000),
  ];
}

function rulesAt(now) {
  const rule = (name, query, more = {}) => ({ state: "inactive", name, query, duration: 120, keepFiringFor: 0, labels: { severity: "warning" }, annotations: {}, alerts: [], health: "ok", evaluationTime: 0.00012, lastEvaluation: iso(now - 4000), type: "alerting", notes: [], ...more });
  const seen = (labels, state, since, value) => ({ labels, annotations: {}, state, activeAt: iso(since), value });
  return [
    {
      name: "headgate.yaml",
      file: "headgate.yaml",
      interval: 15,
      rules: [
        rule("HighErrorRate", "headgate:error_ratio:5m > 0.05", {
          state: "firing",
          labels: { severity: "critical" },
          annotations: { summary: "{{ $labels.app }}: {{ $value | humanizePercentage }} of the requests fail" },
          alerts: [seen({ alertname: "HighErrorRate", app: "checkout", severity: "critical", team: "shop" }, "firing", now - 11 * MINUTE, "6.2e-02")],
        }),
        rule("Slow", "headgate:p95_seconds:5m > 0.25", { state: "pending", duration: 300, alerts: [{ ...seen({ alertname: "Slow", app: "search", severity: "warning" }, "pending", now - 2 * MINUTE, "3.1e-01"), annotations: { summary: "search: p95 is 310 ms" } }] }),
        rule("QueueGrows", "rate(queue_jobs_total[5m]) > 3", { notes: [{ message: "there is no series queue_jobs_total" }] }),
        rule("Memory", "rate(process_resident_memory_bytes[5m]) > 0", { notes: [{ message: "rate() of process_resident_memory_bytes, which is a gauge", hint: "did you mean: deriv(process_resident_memory_bytes[5m]) > 0" }] }),
        rule("Twice", "headgate_app_ready * on () up", { health: "err", lastError: "many-to-many matching not allowed: matching labels must be unique on one side" }),
      ],
    },
    { name: "headgate", file: "built in", interval: 15, rules: ["headgate:error_ratio:5m", "headgate:p95_seconds:5m"].map((name) => rule(name, `sum by (app) (rate(x{name="${name}"}[5m]))`, { type: "recording", state: undefined, duration: undefined })) },
  ];
}

function incidentsAt(now) {
  const of = (id, app, priority, state, title, age, more = {}) => ({ id, app, cause: `app:${app}`, title, priority, state, assignee: state === "open" ? "" : "kim", runbook: "https://example.com/runbooks/errors", escalations: 0, opened_ms: now - age, acknowledged_ms: state === "open" ? null : now - age + 3 * MINUTE, resolved_ms: state === "resolved" ? now - age + 55 * MINUTE : null, due_ms: state === "open" ? now - age + 5 * MINUTE : null, response_s: { P1: 300, P2: 900, P3: 3600 }[priority], ...more });
  return [
    of(9, "catalogue", "P1", "open", "catalogue: 310 of 42000 answers in 1h were bad, 17.2 times what the objective allows", 7 * MINUTE, { escalations: 1 }),
    of(8, "feedback", "P3", "open", "release 13 of feedback was taken back (evidence)", 12 * MINUTE),
    of(7, "checkout", "P1", "acknowledged", "checkout: 6.2% of the requests fail", 9 * MINUTE),
    ...Array.from({ length: 6 }, (_, i) => of(6 - i, "search", i % 2 ? "P2" : "P3", "resolved", `release ${12 - i} of search was taken back (evidence)`, (i + 1) * 31 * HOUR)),
  ];
}

function timelineOf(i) {
  const at = (before, kind, event, text, replica = 0) => ({ ts_ms: i.opened_ms - before, kind, release: 13, replica, text, event });
  return [
    at(50 * MINUTE, "release.created", { version: "1.8.0" }, "version 1.8.0"),
    at(49 * MINUTE, "rollout.started", { rollout: 42, strategy: "canary" }, "canary"),
    at(48 * MINUTE, "replica.started", { pid: 4100 }, "pid 4100", 4),
    at(47 * MINUTE, "replica.ready", { pid: 4100 }, "pid 4100", 4),
    at(12 * MINUTE, "rollout.weight", { rollout: 42, weight: 0.25 }, "weight 25 %"),
    at(2 * MINUTE, "replica.died", { reason: "exit status 1" }, "exit status 1", 4),
    at(0, "incident.opened", { incident: i.id, priority: i.priority, title: i.title }, i.title),
    ...(i.acknowledged_ms ? [at(-3 * MINUTE, "incident.acknowledged", { incident: i.id, who: "kim" }, "kim")] : []),
    ...(i.resolved_ms ? [at(-55 * MINUTE, "incident.resolved", { incident: i.id, who: "kim" }, "kim")] : []),
  ];
}

function releasesOf(name, now) {
  const list = Array.from({ length: 12 }, (_, i) => ({ number: 13 - i, version: `1.${8 - Math.floor(i / 3)}.${2 - (i % 3)}`, digest: "", created_ms: now - i * 29 * HOUR, kept: i < 8, serving: i === 1, quarantined_by: i === 0 || i === 5 ? 42 - i : null, rollout: 42 - i }));
  return { schema: "headgate.releases/1", app: name, serving: 12, releases: list };
}

const change = (what, old, next, hidden = false) => ({ what, change: old === null ? "added" : next === null ? "removed" : "changed", hidden, old, new: next });
const DIFF = [change("artifact", "shop-1.7.tar.zst", "shop-1.8.tar.zst"), change("env.LOG_LEVEL", "info", "debug"), change("env.FEATURE_TAX", null, "1"), change("resources.limits.memory", "256MiB", "512MiB"), change("command", null, null, true)];

function consumers(now) {
  const row = (key, name, requests, errors, over = 0) => ({ requests, over, counted: requests, errors, refused: Math.round(requests / 90), aborted: 0, seconds: requests * 0.021, bytes_out: requests * 5300, last_ms: now - 900, [key]: name, route: "shop.example.com/" });
  return {
    schema: "headgate.consumers/1",
    now_ms: now,
    consumers: [row("consumer", "10.1.7.0/24", 812_331, 214), row("consumer", "192.0.2.0/24", 90_120, 0, 40), row("consumer", "198.51.100.0/24", 4096, 1100)],
    paths: [row("path", "/feedback", 610_200, 190), row("path", "/feedback/{id}", 220_030, 24), row("path", "/health", 81_000, 0)],
  };
}

// Answers by path: [status, document], or undefined for what is not of these pages.
export function makeOps() {
  const began = Date.now();
  const silences = [
    { id: "s1", matchers: [{ name: "app", value: "images", isRegex: false, isEqual: true }, { name: "replica", value: "5", isRegex: false, isEqual: true }], startsAt: iso(began - HOUR), endsAt: iso(began + 3 * HOUR), createdBy: "kim", comment: "new disk comes at four", status: { state: "active" } },
    { id: "s0", matchers: [{ name: "team", value: "db|dba", isRegex: true, isEqual: true }], startsAt: iso(began - 30 * HOUR), endsAt: iso(began - 26 * HOUR), createdBy: "sam", comment: "database moved", status: { state: "expired" } },
  ];
  const incidents = incidentsAt(began);
  const slo = (now) => [objective("catalogue", "availability", now, 3, 230, true), objective("checkout", "availability", now, 1, 20, false), objective("checkout", "latency", now, 5, 40, false), objective("feedback", "availability", now, 2, 9, false), objective("search", "availability", now, 4, 320, false)];
  const steer = (id, verb, body) => {
    const i = incidents.find((x) => x.id === id);
    if (!i) return [404, { title: "not found", status: 404, detail: `there is no incident "${id}"` }];
    if (verb === "ack") Object.assign(i, { state: "acknowledged", acknowledged_ms: Date.now(), assignee: i.assignee || "demo", due_ms: null });
    if (verb === "assign") i.assignee = body.to;
    if (verb === "resolve") Object.assign(i, { state: "resolved", resolved_ms: Date.now(), due_ms: null });
    return [200, { schema: "headgate.incident_done/1", id }];
  };
  const silence = (body) => {
    const id = `s${silences.length + 1}`;
    silences.push({ ...body, id, startsAt: iso(Date.now()), status: { state: "active" } });
    return [200, { silenceID: id }];
  };
  return (method, url, body) => {
    const p = url.pathname;
    const now = Date.now();
    if (p === "/v1/slo") return [200, { schema: "headgate.slo/1", now_ms: now, objectives: slo(now) }];
    if (p === "/api/v2/alerts") return [200, alertsAt(began, silences)];
    if (p === "/api/v2/alerts/groups") return [200, groupsOf(alertsAt(began, silences), now)];
    if (p === "/api/v2/silences") return method === "POST" ? silence(body) : [200, silences];
    if (p === "/api/v2/receivers") return [200, [{ name: "team" }, { name: "oncall" }]];
    if (p === "/api/v1/rules") return [200, { status: "success", data: { groups: rulesAt(began) } }];
    if (p === "/v1/incidents") return [200, { schema: "headgate.incidents/1", now_ms: now, incidents: [...incidents].sort((a, b) => b.id - a.id) }];
    let m = /^\/api\/v2\/silence\/(\w+)$/.exec(p);
    if (m && method === "DELETE") {
      for (const s of silences) if (s.id === m[1]) Object.assign(s, { endsAt: iso(now), status: { state: "expired" } });
      return [200, {}];
    }
    m = /^\/v1\/receivers\/(\w+)\/test$/.exec(p);
    if (m) return m[1] === "team" ? [200, { channels: [{ channel: "slack", delivered: true, answer: "200 ok" }] }] : [502, { title: "receiver", status: 502, code: "HG1503", detail: "not every channel took the message", facts: '[{"channel":"pagerduty","delivered":false,"answer":"403 forbidden"}]' }];
    m = /^\/v1\/incidents\/(\d+)(?:\/(\w+))?$/.exec(p);
    if (m && m[2] === "report") return [200, `# Incident ${m[1]}: what happened\n\n| | |\n| --- | --- |\n| priority | P1, to be taken within 5 min |\n\n## Impact\n\n_To be written._\n`];
    if (m && m[2]) return steer(Number(m[1]), m[2], body);
    if (m) {
      const i = incidents.find((x) => x.id === Number(m[1]));
      return i ? [200, { ...i, schema: "headgate.incident/1", now_ms: now, timeline: timelineOf(i) }] : steer(Number(m[1]));
    }
    m = /^\/v1\/apps\/([^/]+)\/(\w+)(\/\d+\/diff\/\d+)?$/.exec(p);
    if (!m) return undefined;
    if (m[3]) return [200, { schema: "headgate.diff/1", app: m[1], changes: DIFF, lines: [] }];
    if (m[2] === "releases") return [200, releasesOf(m[1], began)];
    if (m[2] === "consumers") return [200, consumers(now)];
    return method === "POST" ? [202, { schema: "headgate.deploy/1", id: 42, url: "/v1/rollouts/42" }] : undefined;
  };
}
