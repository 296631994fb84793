// One panel: asks for its queries while it can be seen, and draws what its kind says.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { shifted, timesOf, type Answer, type Board } from "../lib/board";
import { inUnit } from "../lib/format";
import { fill, labelText, legendOf, topLines, type Panel, type PanelQuery } from "../lib/panels";
import { href, place } from "../lib/route";
import type { ColumnSeries } from "../lib/types";
import { Prose, Trouble } from "../ui/bits";
import { Chart, type Limit, type Line, type Mark } from "../ui/chart";
import { Frame, type FrameProps } from "../ui/frame";
import { Heatmap } from "./dashboards_heatmap";
import { RowsPanel, StatPanel } from "./dashboards_table";
import { Timeline } from "./dashboards_timeline";

const MOST = 12; // lines at once
const NEAR = "300px 0px"; // what comes into view soon is asked for already

interface Found {
  query: PanelQuery;
  series: ColumnSeries[];
}

// Answers on the times of the newest of them: one may be a step behind.
function onOneGrid(panel: Panel, answers: (Answer | null)[]): { times: number[]; found: Found[] } {
  const base = answers.reduce<Answer | null>((best, a) => (a && a.error === null && (!best || a.startMs + a.n * a.stepMs > best.startMs + best.n * best.stepMs) ? a : best), null);
  if (!base) return { times: [], found: [] };
  const found = panel.queries.map((query, i) => {
    const a = answers[i];
    if (!a || a.error !== null || a.stepMs !== base.stepMs) return { query, series: [] };
    const by = Math.round((base.startMs - a.startMs) / base.stepMs);
    return { query, series: by || a.n !== base.n ? a.series.map((s) => ({ labels: s.labels, values: shifted(s.values, by, base.n) })) : a.series };
  });
  return { times: timesOf(base), found };
}

// Colours that mean something; of several apps each has its own.
const MEANING: Record<string, string> = { "2": "--good", "3": "--c8", "4": "--warn", "5": "--bad", error: "--bad", warn: "--warn" };
const ARMS: Record<string, string> = { new: "--new", old: "--old", serving: "--old" };
function colourOf(labels: Record<string, string>, oneApp: boolean): string | undefined {
  if (labels.class) return MEANING[labels.class];
  return oneApp ? (MEANING[labels.level ?? ""] ?? ARMS[labels.arm ?? ""]) : undefined;
}

interface OfGroup extends Line {
  group: string;
  query: number;
}

export function linesOf(found: Found[], unit: string): OfGroup[] {
  const apps = new Set(found.flatMap((f) => f.series.map((s) => s.labels.app)));
  const names = new Map<string, number>();
  const used = new Set<string>(); // a second line of one colour is dashed
  return found.flatMap(({ query, series }, at) =>
    series.map((s): OfGroup => {
      let label = legendOf(query.legend, s.labels);
      const times = (names.get(label) ?? 0) + 1;
      names.set(label, times);
      if (times > 1) label = `${label} (${labelText(s.labels) || times})`;
      const color = colourOf(s.labels, apps.size === 1);
      const dash = query.unit !== unit || (color !== undefined && used.has(color));
      if (color) used.add(color);
      return { label, values: s.values, unit: query.unit, color, dash, group: s.labels.app ?? labelText(s.labels), query: at };
    }),
  );
}

function limitsOf(panel: Panel): Limit[] {
  return panel.thresholds.map((t) => ({ value: t.value, label: t.text === inUnit(t.value, panel.unit) ? "" : t.text, tone: t.colour === "red" ? "bad" : "warn" }));
}

function Lines({ panel, found, ...rest }: { panel: Panel; found: Found[]; times: number[]; marks: Mark[]; note: ComponentChildren; foot: ComponentChildren; height: number; beside: boolean }) {
  const all = useSignal(false);
  const { lines, more } = useMemo(() => {
    const every = linesOf(found, panel.unit);
    const some = all.value ? every : topLines(every, MOST);
    return { lines: some, more: every.length - some.length };
  }, [found, all.value]);
  const choice = (more > 0 || all.value) && (
    <p class="more dim">
      {more > 0 ? `${lines.length} of ${lines.length + more}: those with the highest last value${found[0]!.series.some((s) => s.labels.app) ? ", by app" : ""}. ` : ""}
      <button type="button" class="quiet small" aria-pressed={all.value} onClick={() => (all.value = !all.value)}>
        {more > 0 ? `${more} more` : `only ${MOST}`}
        <span class="hidden"> of {panel.title}</span>
      </button>
    </p>
  );
  return (
    <Chart
      {...rest}
      title={panel.title}
      help={panel.help}
      unit={panel.unit}
      lines={lines}
      limits={limitsOf(panel)}
      stacked={panel.kind === "stacked"}
      log={panel.scale === "log"}
      zoom
      foot={
        <>
          {choice}
          {rest.foot}
        </>
      }
    />
  );
}

const names = (waits: string[]) => waits.map((w, i) => [i ? ", " : "", <code key={w}>{w}</code>]);

// Why nothing is drawn: it failed, it is being asked for, or what it needs is not there.
function nothingOf(panel: Panel, answers: (Answer | null)[], waits: string[], some: boolean): ComponentChildren {
  if (some) return undefined;
  if (answers.some((a) => a?.error)) return <p>no answer</p>;
  if (answers.some((a) => a === null)) return <p>asking …</p>;
  if (!waits.length) return <p>no samples in this time</p>;
  return (
    <div class="waits">
      <p>Waits for {names(waits)}: there is none in this time.</p>
      <p>
        <Prose text={panel.help} />
      </p>
    </div>
  );
}

// The pictures of a heatmap are its queries, or one if these are its buckets.
function Heats({ panel, found, ...rest }: FrameProps & { panel: Panel; found: Found[]; times: number[]; marks: Mark[] }) {
  const parts = useMemo(() => found.filter((f) => f.series.length).map((f) => ({ name: found.length > 1 ? f.query.legend : "", series: f.series })), [found]);
  return <Heatmap {...rest} parts={parts} unit={panel.unit} />;
}

export interface PanelProps {
  panel: Panel;
  board: Board;
  app: string;
  window: string;
  marks: Mark[];
  alone?: boolean;
}

function Body(p: PanelProps & { answers: (Answer | null)[] }) {
  const { panel, answers } = p;
  const { times, found } = useMemo(() => onOneGrid(panel, answers), answers);
  const some = found.some((f) => f.series.length > 0);
  const waits = [...new Set(panel.queries.filter((q, i) => q.needs && answers[i] && answers[i]!.error === null && answers[i]!.series.length === 0).map((q) => q.needs!))];
  const nothing = nothingOf(panel, answers, waits, some);
  const errors = [...new Set(answers.map((a) => a?.error).filter(Boolean))] as string[];
  const query = { app: p.app, window: place.value.query.get("window") ?? undefined };
  const note = (
    <>
      {panel.links.map((l) => {
        const [path, more] = l.route.split("?");
        return (
          <a key={l.route} class="goes" href={href(path!.split("/"), { app: p.app, ...Object.fromEntries(new URLSearchParams(more)) })}>
            {l.title}
          </a>
        );
      })}
      {!p.alone && (
        <a class="alone" href={href(place.value.path, { ...query, panel: panel.id })} title="open alone" aria-label={`Open ${panel.title} alone`}>
          ⤢
        </a>
      )}
    </>
  );
  const foot = (
    <>
      {errors.map((e) => (
        <Trouble key={e} problem={{ title: e, status: 0 }} />
      ))}
      {some && waits.length > 0 && (
        <p class="more dim" title={panel.help}>
          not there: {names(waits)}
        </p>
      )}
    </>
  );
  const height = p.alone ? Math.max(260, innerHeight - 420) : 180;
  const frame = { title: panel.title, help: panel.help, note, foot, nothing, height, beside: !!p.alone };
  if (nothing) return <Frame {...frame} />;
  switch (panel.kind) {
    case "heatmap":
      return <Heats {...frame} panel={panel} found={found} times={times} marks={p.marks} />;
    case "timeline":
      return <Timeline {...frame} found={found} times={times} />;
    case "table":
      return <RowsPanel {...frame} beside={false} panel={panel} found={found} />;
    case "stat":
      return <StatPanel {...frame} beside={false} panel={panel} found={found} />;
    default:
      return <Lines panel={panel} found={found} times={times} marks={p.marks} note={note} foot={foot} height={height} beside={!!p.alone} />;
  }
}

export function PanelView(p: PanelProps) {
  const box = useRef<HTMLDivElement>(null);
  const seen = useSignal(!!p.alone);
  const exprs = useMemo(() => p.panel.queries.map((q) => fill(q.expr, p.app, p.window)), [p.panel, p.app, p.window]);
  useEffect(() => {
    const watch = new IntersectionObserver((entries) => (seen.value = entries.at(-1)!.isIntersecting), { rootMargin: NEAR });
    watch.observe(box.current!);
    return () => watch.disconnect();
  }, []);
  useEffect(() => (seen.value ? p.board.want(exprs) : undefined), [seen.value, exprs, p.board]);
  const answers = exprs.map((expr) => p.board.answer(expr).value);
  const state = answers.some((a) => a?.error) ? "failed" : answers.some((a) => a === null) ? "asking" : answers.some((a) => a!.series.length) ? "drawn" : "empty";
  return (
    <div class="panel" ref={box} style={{ "--width": p.alone ? 24 : p.panel.width }} data-panel={p.panel.id} data-state={state}>
      <Body {...p} answers={answers} />
    </div>
  );
}
