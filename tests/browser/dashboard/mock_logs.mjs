// The stand-in's log store, audit trail and configuration. Line number n was written at n/rate seconds since 1970, for
// every n that ever was: any time can be asked for, and what is followed goes on where the past ends.
const LEVELS = ["debug", "info", "warn", "error"];

function levelOf(n) {
  const burst = n % 50_021 < 1500 ? 7 : 1; // now and then there is trouble
  return n % Math.ceil(97 / burst) === 0 ? "error" : n % Math.ceil(31 / burst) === 0 ? "warn" : "info";
}

function textOf(n, level, ms) {
  if (n % 10 === 3) return `10.0.${n % 255}.${(n * 7) % 255} - - "GET /feedback?limit=5 HTTP/1.1" ${level === "error" ? 500 : 200} ${(n % 1700) + 120}`;
  const id = ((n * 2654435761) % 4294967296).toString(16).padStart(8, "0");
  const trace = `${id}${id}${id}${id}`;
  const message = level === "error" ? "no such column: rating" : level === "warn" ? "the pool of connections is used up, waiting" : "request served";
  return JSON.stringify({ ts: new Date(ms).toISOString(), level, message, method: "GET", path: `/feedback/${n % 4000}`, status: level === "error" ? 500 : 200, took_ms: (n % 170) / 10, request_id: trace, traceparent: `00-${trace}-${id}${id}-01`, ...(level === "error" ? { rollout: 42 } : {}) });
}

function store(rate, apps) {
  const nsOf = (n) => `${Math.floor((n * 1000) / rate)}${String(Math.round((((n * 1000) / rate) % 1) * 1e6)).padStart(6, "0")}`;
  const line = (n) => {
    const app = apps[n % apps.length];
    const ms = (n * 1000) / rate;
    const level = levelOf(n);
    return { ts: new Date(ms).toISOString().replace("Z", "000000Z"), seq: n, app: app.name, release: app.release, replica: 1 + (n % app.desired), stream: level === "error" ? "stderr" : "stdout", level, event_ts: new Date(ms).toISOString(), text: textOf(n, level, ms), cursor: `${nsOf(n)}-${n}-${app.name}` };
  };
  const filter = (q) => {
    const low = q.get("ignore_case") === "1";
    const grep = q.get("grep");
    const least = LEVELS.indexOf(q.get("level") ?? "debug");
    return (l) =>
      (!q.get("app") || l.app === q.get("app")) &&
      LEVELS.indexOf(l.level) >= least &&
      (!q.get("release") || l.release === Number(q.get("release"))) &&
      (!q.get("replica") || l.replica === Number(q.get("replica"))) &&
      (!grep || (low ? l.text.toLowerCase() : l.text).includes(grep));
  };
  return { line, filter, at: (ms) => Math.floor((ms * rate) / 1000) };
}

export function logStandIn(o, apps, clock) {
  const rate = o["lines-per-second"];
  const s = store(rate, apps);
  const instant = (text, otherwise) => (text ? (/^\d{16,}$/.test(text) ? Number(text) / 1e6 : Number(text)) : otherwise);

  function follow(req, res, q) {
    const wanted = s.filter(q);
    let n = q.get("cursor") ? Number(q.get("cursor").split("-")[1]) + 1 : s.at(clock());
    const every = setInterval(() => {
      let text = "";
      for (const end = s.at(clock()); n < end; n++) {
        const l = s.line(n);
        if (wanted(l)) text += `${JSON.stringify(l)}\n`;
      }
      if (text && !res.writableNeedDrain) res.write(text);
    }, 50);
    req.on("close", () => clearInterval(every));
  }
  function search(req, res, q) {
    const wanted = s.filter(q);
    const newest = q.get("order") !== "oldest";
    const first = s.at(instant(q.get("since"), clock() - 86_400_000));
    const end = s.at(Math.min(clock(), instant(q.get("until"), clock())));
    const past = q.get("cursor") ? Number(q.get("cursor").split("-")[1]) : null;
    let left = Number(q.get("limit") ?? 1000);
    let n = newest ? (past ?? end) - 1 : past !== null ? past + 1 : first;
    let gone = false;
    req.on("close", () => (gone = true));
    const chunk = () => {
      let text = "";
      for (let k = 0; k < 4000 && left > 0 && n >= first && n < end; k++, n += newest ? -1 : 1) {
        const l = s.line(n);
        if (!wanted(l)) continue;
        text += `${JSON.stringify(l)}\n`;
        left--;
      }
      if (gone) return;
      if (left <= 0 || n < first || n >= end) return res.end(text);
      if (res.write(text)) setImmediate(chunk);
      else res.once("drain", chunk);
    };
    chunk();
  }
  function logs(req, res, q) {
    res.writeHead(200, { "Content-Type": "application/x-ndjson", "Cache-Control": "no-store" });
    res.flushHeaders();
    if (q.get("follow") === "1") follow(req, res, q);
    else search(req, res, q);
  }
  // Of each bucket a sample is looked at: what a store reads from its heads of blocks.
  function volume(q) {
    const start = instant(q.get("since"), clock() - 3_600_000);
    const n = Number(q.get("buckets") ?? 60);
    const step = (instant(q.get("until"), clock()) - start) / n;
    const wanted = s.filter(q);
    const out = { schema: "headgate.log_volume/1", start_ms: start, step_ms: step, n, debug: [], info: [], warn: [], error: [] };
    for (let i = 0; i < n; i++) {
      const a = s.at(start + i * step);
      const b = s.at(Math.min(clock(), start + (i + 1) * step));
      const every = Math.max(1, Math.floor((b - a) / 500));
      const counts = { debug: 0, info: 0, warn: 0, error: 0 };
      for (let k = a; k < b; k += every) {
        const l = s.line(k);
        if (wanted(l)) counts[l.level] += every;
      }
      for (const level of LEVELS) out[level].push(counts[level]);
    }
    return out;
  }
  return { logs, volume };
}

const WHAT = [
  ["POST /v1/apps/checkout/scale", "checkout", "ok", { replicas: { old: 3, new: 5 } }],
  ["POST /v1/reload (dry run)", "/etc/headgate/headgate.yaml", "HG1301", {}],
  ["POST /v1/reload", "/etc/headgate/headgate.yaml", "ok", { changes: ["~ apps.feedback.env.LOG_LEVEL: info -> debug", "+ apps.search.replicas: 4", "- apps.mail.slo"] }],
  ["POST /v1/rollouts/41/abort", "41", "ok", {}],
  ["POST /v1/apps/feedback/rollouts", "feedback", "HG1508", { version: "1.8.0", override: "the fix of this incident" }],
  ["POST /v1/tokens", "ci", "ok", { role: "deployer" }],
  ["DELETE /v1/tokens/old-laptop", "old-laptop", "ok", {}],
  ["POST /v1/apps/billing/scale", "billing", "HG1201", {}],
];
const WHO = ["token:ci", "unix:0", "token:ada", "token:grace"];

export function auditOf(q, began, all = 2400) {
  const before = Number(q.get("before") ?? 0) || all + 1;
  const limit = Number(q.get("limit") ?? 100);
  const entries = [];
  for (let id = before - 1; id > 0 && entries.length < limit; id--) {
    const [what, target, result, details] = WHAT[(id * 7) % WHAT.length];
    entries.push({ id, ts_ms: began - (all - id) * 611_000, who: WHO[(id * 5) % WHO.length], what, target, result, details });
  }
  return { schema: "headgate.audit/1", entries };
}

const YAML = `# What runs in production.
version: 1
project: shop
edge:
  listen: {http: 8080}
apps:
  feedback:
    command: ./feedback --port $PORT
    replicas: 3
    env: {LOG_LEVEL: info}
    health: /health
    routes:
      - {host: feedback.example.com, path: /}
    rollout:
      strategy: canary
      steps:
        - {weight: 10%, wait: 45s}
        - {weight: 100%}
`;

export function configOf(began) {
  const effective = `${YAML.replace(/^#.*\n/, "")}admin:\n  listen: 127.0.0.1:4323\nlogs:\n  keep: 30d\n  max_size: 10GiB\nmetrics:\n  keep: 15d\n`;
  return { schema: "headgate.config/1", text: YAML, file: "/etc/headgate/headgate.yaml", dir: "/etc/headgate", environment: "production", applied_ms: began - 7_200_000, effective };
}

// A misspelt key is found, everything else is what would change.
export function reloadOf(body) {
  const lines = body.text.split("\n");
  const at = lines.findIndex((l) => /\breplica:/.test(l));
  if (at >= 0) {
    const column = lines[at].indexOf("replica:") + 1;
    return [422, { type: "about:blank", title: "the configuration is not valid", status: 422, code: "HG1301", detail: 'unknown key "replica"', hint: "Did you mean replicas?", place: { file: body.file, line: at + 1, column, snippet: lines[at], caret: column } }];
  }
  const was = YAML.split("\n");
  const changes = [];
  lines.forEach((l, i) => l !== was[i] && changes.push(...(was[i] ? [`- ${was[i].trim()}`] : []), `+ ${l.trim()}`));
  return [200, { schema: "headgate.reload/1", changes, dry_run: true }];
}
