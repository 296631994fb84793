// An app in charts: what it answers, and what its replicas use.
import { useMemo } from "preact/hooks";
import { columns } from "../lib/api";
import { events } from "../lib/live";
import { marksOf } from "../lib/panels";
import { useResource, useTurn } from "../lib/resource";
import { serverNow, spanOf, type Span } from "../lib/time";
import type { ColumnResult } from "../lib/types";
import { Trouble } from "../ui/bits";
import { Chart, type Line, type Mark } from "../ui/chart";

const POINTS = 240;
const MOST = 16;

function queriesOf(app: string, span: Span, few: boolean): string[] {
  const own = `{app=${JSON.stringify(app)}}`;
  const w = `[${Math.max(60, (span.stepMs / 1000) * 2)}s]`;
  const asked = `headgate_requests_total${own}`;
  const failed = `headgate_requests_total{app=${JSON.stringify(app)},code=~"5.."}`;
  const quantile = (q: number) => `histogram_quantile(${q}, sum by (le) (rate(headgate_request_duration_seconds_bucket${own}${w})))`;
  const list = [`sum(rate(${asked}${w}))`, `sum(rate(${failed}${w})) / sum(rate(${asked}${w})) or 0 * sum(rate(${asked}${w}))`, quantile(0.95), quantile(0.5)];
  if (!few) list.push(`sum by (replica) (rate(headgate_replica_cpu_seconds_total${own}${w}))`, `sum by (replica) (headgate_replica_memory_bytes${own})`, `sum by (replica) (headgate_replica_in_flight${own})`);
  return list;
}

// Between two times; `to` 0: until now.
function between(from: number, to: number): Span {
  const end = to || serverNow();
  const stepMs = Math.max(5000, Math.ceil((end - from) / POINTS / 5000) * 5000);
  return { startMs: Math.floor(from / stepMs) * stepMs, endMs: Math.floor(end / stepMs) * stepMs, stepMs };
}

const byReplica = (r: ColumnResult | undefined): Line[] =>
  [...(r?.series ?? [])]
    .sort((a, b) => Number(a.labels.replica) - Number(b.labels.replica))
    .slice(0, MOST)
    .map((s) => ({ label: `replica ${s.labels.replica}`, values: s.values }));

const one = (r: ColumnResult | undefined, label: string, color?: string, fill = false): Line[] => (r?.series[0] ? [{ label, values: r.series[0].values, color, fill }] : []);

export function AppCharts({ app, from, to, marks, few = false, limits }: { app: string; from?: number; to?: number; marks?: Mark[]; few?: boolean; limits?: { memory: number; cpu: number } }) {
  const turn = useTurn(15_000);
  // What is over does not change any more.
  const asked = useResource(
    (signal) => {
      const span = from === undefined ? spanOf(serverNow(), POINTS) : between(from, to ?? 0);
      return columns({ queries: queriesOf(app, span, few), ...span }, signal);
    },
    [app, from, to, few, to ? 0 : turn, from === undefined ? location.hash : ""],
  );
  const c = asked.data;
  const lines = useMemo(() => {
    const r = c?.results ?? [];
    return {
      rate: one(r[0], "requests", "--c1", true),
      errors: one(r[1], "5xx", "--bad", true),
      slow: [...one(r[2], "p95", "--c2"), ...one(r[3], "p50", "--c1")],
      cpu: byReplica(r[4]),
      memory: byReplica(r[5]),
      flight: byReplica(r[6]),
    };
  }, [c]);
  const times = useMemo(() => (c ? Array.from({ length: c.n }, (_, i) => c.start_ms + i * c.step_ms) : []), [c]);
  const newest = events.value[0]?.id;
  const marked = useMemo(() => marks ?? marksOf(events.value, [], times, app), [marks, newest, times, app]);
  const bounds = useMemo(
    () => ({
      cpu: limits?.cpu ? [{ value: limits.cpu, label: "limit" }] : [],
      memory: limits?.memory ? [{ value: limits.memory, label: "limit" }] : [],
    }),
    [limits?.cpu, limits?.memory],
  );
  if (asked.problem && !c) return <Trouble problem={asked.problem} again={asked.again} />;
  const empty = asked.loading && !c ? "reading …" : undefined;
  const all = { times, marks: marked, zoom: from === undefined, empty };
  return (
    <div class="charts">
      <Chart title="Requests" unit="per_second" lines={lines.rate} {...all} />
      <Chart title="Failed answers" help="share of answers with 5xx" unit="ratio" lines={lines.errors} {...all} />
      <Chart title="Response time" unit="seconds" lines={lines.slow} {...all} />
      {!few && (
        <>
          <Chart title="CPU by replica" help="cores that are busy" lines={lines.cpu} limits={bounds.cpu} {...all} />
          <Chart title="Memory by replica" unit="bytes" lines={lines.memory} limits={bounds.memory} {...all} />
          <Chart title="Requests in flight by replica" lines={lines.flight} {...all} />
        </>
      )}
    </div>
  );
}
