// The value of an alert's expression in the last hours, with the limit it is compared with.
import { useMemo } from "preact/hooks";
import { columns } from "../lib/api";
import { compared } from "../lib/alerts";
import { useResource, useTurn } from "../lib/resource";
import { serverNow } from "../lib/time";
import type { Columns } from "../lib/types";
import type { Labels } from "../lib/types_ops";
import { Trouble } from "../ui/bits";
import { Chart, type Line } from "../ui/chart";

const STEP_MS = 30_000;
const BEFORE_MS = 3_600_000;
const MOST_MS = 86_400_000;
const LINES = 8;

// Series of what the alert is about; all when its labels do not say.
function linesOf(c: Columns, labels: Labels): Line[] {
  const all = c.results[0]?.series ?? [];
  const own = all.filter((s) => Object.entries(s.labels).every(([name, value]) => name === "__name__" || labels[name] === undefined || labels[name] === value));
  return (own.length ? own : all).slice(0, LINES).map((s) => ({
    label:
      Object.entries(s.labels)
        .filter(([name]) => name !== "__name__")
        .map(([, value]) => value)
        .join(" ") || "value",
    values: s.values,
  }));
}

export function AlertChart({ expr, labels, since, title = "Value" }: { expr: string; labels: Labels; since: number; title?: string }) {
  const c = useMemo(() => compared(expr), [expr]);
  const turn = useTurn(STEP_MS);
  const asked = useResource(
    (signal) => {
      const end = Math.floor(serverNow() / STEP_MS) * STEP_MS;
      const start = Math.max(end - MOST_MS, Math.min(since || end, end) - BEFORE_MS);
      const stepMs = STEP_MS * Math.ceil((end - start) / STEP_MS / 300);
      return columns({ queries: [c.left], startMs: Math.floor(start / stepMs) * stepMs, endMs: end, stepMs }, signal);
    },
    [c.left, turn],
  );
  const problem = asked.data?.results[0]?.error;
  const times = useMemo(() => (asked.data ? Array.from({ length: asked.data.n }, (_, i) => asked.data!.start_ms + i * asked.data!.step_ms) : []), [asked.data]);
  const lines = useMemo(() => (asked.data ? linesOf(asked.data, labels) : []), [asked.data]);
  const limits = useMemo(() => (c.limit === null ? [] : [{ value: c.limit, label: `${c.op}`, tone: "bad" as const }]), [c]);
  const marks = useMemo(() => (since ? [{ ms: since, label: "since", tone: "bad" as const }] : []), [since]);
  if (asked.problem && !asked.data) return <Trouble problem={asked.problem} again={asked.again} />;
  return (
    <Chart
      title={title}
      help={c.left}
      times={times}
      lines={lines}
      limits={limits}
      marks={marks}
      height={140}
      empty={asked.loading && !asked.data ? "reading …" : (problem ?? "the expression had no value in this time")}
    />
  );
}
