// The rollout in charts: by the second while the stream has it, else from the metrics store.
import { useComputed } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { columns } from "../lib/api";
import { ratio } from "../lib/format";
import { trace as liveTrace } from "../lib/live";
import { useResource } from "../lib/resource";
import { serverNow } from "../lib/time";
import type { Column, Columns, Event, Rollout, Trace } from "../lib/types";
import { Chart, type Limit, type Mark } from "../ui/chart";

const AROUND_MS = 60_000;

function marksOf(own: Event[]): Mark[] {
  const out: Mark[] = [];
  for (const e of own) {
    const f = e.evidence as { weight?: number; outcome?: string } | null;
    if (e.kind === "rollout.weight") out.push({ ms: e.ts_ms, label: ratio(f?.weight ?? 0) });
    else if (e.kind === "rollout.back") out.push({ ms: e.ts_ms, label: "back", tone: "bad" });
    else if (e.kind === "rollout.promoted") out.push({ ms: e.ts_ms, label: "promoted", tone: "good" });
  }
  return out.reverse();
}

// The same from the store, whose samples are five seconds apart.
async function stored(r: Rollout, signal: AbortSignal): Promise<Trace | null> {
  const end = Math.min(serverNow(), (r.ended_ms || serverNow()) + AROUND_MS);
  const start = r.created_ms - AROUND_MS;
  const stepMs = Math.max(5000, Math.ceil((end - start) / 400 / 5000) * 5000);
  const window = `${Math.max(15, stepMs / 500)}s`;
  const app = JSON.stringify(r.app);
  const of = (release: number) => `{app=${app},release="${release}"}`;
  const errors = (release: number) =>
    `sum(rate(headgate_requests_total{app=${app},release="${release}",code=~"5.."}[${window}])) / sum(rate(headgate_requests_total${of(release)}[${window}])) or 0 * sum(rate(headgate_requests_total${of(release)}[${window}]))`;
  const p95 = (release: number) => `histogram_quantile(0.95, sum by (le) (rate(headgate_request_duration_seconds_bucket${of(release)}[${window}])))`;
  const rate = (release: number) => `sum(rate(headgate_requests_total${of(release)}[${window}]))`;
  const asked = await columns(
    {
      queries: [
        `headgate_split_weight${of(r.new.release)}`,
        `headgate_judge_evidence{app=${app},metric="all"}`,
        errors(r.new.release),
        errors(r.old.release),
        p95(r.new.release),
        p95(r.old.release),
        rate(r.new.release),
        rate(r.old.release),
        `headgate_rollout_requests{app=${app},kind="rescued"}`,
        `headgate_rollout_requests{app=${app},kind="seen"}`,
      ],
      startMs: Math.floor(start / stepMs) * stepMs,
      endMs: Math.floor(end / stepMs) * stepMs,
      stepMs,
    },
    signal,
  );
  return asTrace(r, asked);
}

function asTrace(r: Rollout, c: Columns): Trace {
  const none: Column = new Array(c.n).fill(null);
  const take = (i: number) => c.results[i]?.series[0]?.values ?? none;
  return {
    id: r.id,
    all: true,
    t_ms: Array.from({ length: c.n }, (_, i) => c.start_ms + i * c.step_ms),
    set: take(0),
    actual: none,
    evidence: take(1),
    new: { error_ratio: take(2), p95: take(4), rate: take(6) },
    old: { error_ratio: take(3), p95: take(5), rate: take(7) },
    rescued: take(8),
    seen: take(9),
  };
}

export function RolloutCharts({ r, own }: { r: Rollout; own: Event[] }) {
  const live = useComputed(() => (liveTrace.value && liveTrace.value.id === r.id ? liveTrace.value : null));
  const fromStream = (live.value?.t_ms.length ?? 0) > 1;
  const asked = useResource((signal) => (fromStream ? Promise.resolve(null) : stored(r, signal)), [r.id, fromStream, r.outcome]);
  const t = fromStream ? live.value! : asked.data;
  const marks = useMemo(() => marksOf(own), [own.length, own[0]?.id]);
  if (!t) return null;
  const limits = (metric: string, tone: Limit["tone"] = "bad"): Limit[] => (metric ? [{ value: r.evidence.threshold, label: metric, tone }] : []);
  const both = (key: "rate" | "error_ratio" | "p95") => [
    { label: r.new.version, values: t.new[key], color: "--new" },
    { label: r.old.version, values: t.old[key], color: "--old" },
  ];
  return (
    <div class="charts" data-source={fromStream ? "stream" : "store"}>
      <Chart title="Failed answers" unit="ratio" times={t.t_ms} lines={both("error_ratio")} marks={marks} />
      <Chart title="p95" unit="seconds" times={t.t_ms} lines={both("p95")} marks={marks} />
      <Chart title="Requests" unit="per_second" times={t.t_ms} lines={both("rate")} marks={marks} />
      <Chart
        title="Share of the new release"
        unit="ratio"
        max={1}
        times={t.t_ms}
        lines={[
          { label: "drawn", values: t.actual, color: "--new", fill: true },
          { label: "set", values: t.set, color: "--dim", dash: true },
        ]}
        marks={marks}
      />
      <Chart title="Evidence that it is worse" times={t.t_ms} log lines={[{ label: "evidence", values: t.evidence, color: "--new" }]} limits={limits("threshold")} marks={marks} />
      <Chart
        title="Failed requests"
        times={t.t_ms}
        lines={[
          { label: "answered by the old one", values: t.rescued, color: "--good", fill: true },
          { label: "seen by users", values: t.seen, color: "--bad" },
        ]}
        marks={marks}
      />
    </div>
  );
}
