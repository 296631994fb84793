// A chart of time series: canvas for the eye, legend with numbers, and the same as a table for who cannot or does not
// wish to see it. The crosshair is shared by all charts of a page; dragging sets the time range of all.
import { signal, type Signal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import { inUnit, stamp } from "../lib/format";
import { setRange } from "../lib/time";
import type { Column } from "../lib/types";
import { colour, faded, FONT, scheme } from "../lib/scheme";
import { AXIS, axisTime, drawLimits, drawMarks, heightTime, spaceTime, type Limit, type Mark } from "./chart_draw";
import { Frame } from "./frame";

export { AXIS, type Limit, type Mark } from "./chart_draw";

export interface Line {
  label: string;
  values: Column;
  color?: string; // a custom property, "--c1"
  dash?: boolean;
  fill?: boolean;
  low?: Column; // an interval around the line
  high?: Column;
  unit?: string; // another one than the chart's: on a scale of its own, the first such at the right
}

export interface ChartProps {
  title: string;
  help?: string;
  unit?: string;
  times: number[]; // Unix milliseconds, rising
  lines: Line[];
  limits?: Limit[];
  marks?: Mark[];
  stacked?: boolean;
  height?: number;
  min?: number;
  max?: number;
  log?: boolean;
  zoom?: boolean; // dragging sets the time range
  empty?: string; // why there is nothing
  note?: ComponentChildren;
  foot?: ComponentChildren;
  beside?: boolean; // the table beside the chart, not in its place
}

// What is drawn. Nothing of the document's tree: uPlot's closures live long, and would keep all trees since alive.
type Drawn = Omit<ChartProps, "help" | "empty" | "note" | "foot" | "beside">;

export const PALETTE = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];
const paint = (line: Line) => colour(line.color!);

// Colours are given before lines are left out: a line that is alone keeps its own. Past the palette lines are dashed.
const painted = (lines: Line[]): Line[] =>
  lines.map((line, i) => (line.color ? line : { ...line, color: PALETTE[i % PALETTE.length], dash: line.dash || i >= PALETTE.length }));

// Where the crosshair is, in milliseconds: legends of all charts follow it.
export const cursorMs = signal<number | null>(null);
// The same, set by a picture that is not uPlot's: its charts move theirs there.
export const pointedMs = signal<number | null>(null);

function stack(lines: Line[]): Column[] {
  const sum = new Array<number>(lines[0]?.values.length ?? 0).fill(0);
  return lines.map((line) => line.values.map((v, i) => (sum[i]! += v ?? 0)));
}

// uPlot wants what is drawn behind first: a stack is drawn from its top.
function columnsOf(p: Drawn): uPlot.AlignedData {
  const t = p.times.map((ms) => ms / 1000);
  if (p.stacked) return [t, ...stack(p.lines).reverse()] as uPlot.AlignedData;
  const out: Column[] = [];
  for (const line of p.lines) {
    out.push(line.values);
    if (line.low && line.high) out.push(line.high, line.low);
  }
  return [t, ...out] as uPlot.AlignedData;
}

function seriesOf(p: Drawn): { series: uPlot.Series[]; bands: uPlot.Band[] } {
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  const pick = p.stacked ? [...p.lines].reverse() : p.lines;
  pick.forEach((line, i) => {
    const stroke = paint(line);
    const single = p.times.length === 1;
    const under = p.stacked && i + 1 < pick.length; // a part of a stack ends where the next one begins
    if (under) bands.push({ series: [i + 1, i + 2], fill: faded(stroke, 0.6) });
    series.push({
      label: line.label,
      scale: scaleOf(p, line),
      stroke,
      width: p.stacked ? 1 : 1.75,
      dash: line.dash ? [5, 4] : undefined,
      fill: under ? undefined : p.stacked ? faded(stroke, 0.6) : line.fill ? faded(stroke, 0.15) : undefined,
      points: { show: single },
    });
    if (!p.stacked && line.low && line.high) {
      const at = series.length;
      series.push({ width: 0, points: { show: false } }, { width: 0, points: { show: false } });
      bands.push({ series: [at, at + 1], fill: faded(stroke, 0.18) });
    }
  });
  return { series, bands };
}

const scaleOf = (p: Drawn, line: Line) => (line.unit && line.unit !== (p.unit ?? "number") ? `y ${line.unit}` : "y");
const otherUnits = (p: Drawn) => [...new Set(p.lines.filter((line) => scaleOf(p, line) !== "y").map((line) => line.unit!))];

// A scale that starts at 0, shows every limit that is near, and is not flat when all is 0.
function rangeY(current: () => Drawn): (u: uPlot, low: number | null, high: number | null) => [number, number] {
  return (_, low, high) => {
    const p = current();
    if (p.log) return [Math.min(low ?? 0.1, 0.1), Math.max(10, (high ?? 1) * 1.3)];
    let top = Math.max(high ?? 0, 0);
    for (const limit of p.limits ?? []) if (limit.value <= top * 4 || top === 0) top = Math.max(top, limit.value);
    if (p.max !== undefined) top = Math.max(p.max, top);
    if (top === 0) top = p.unit === "ratio" ? 0.01 : 1;
    const bottom = p.min ?? Math.min(0, low ?? 0);
    return [bottom, top * 1.08];
  };
}

// What has another unit: from 0, as high as it goes.
const rangeOther = (_: uPlot, low: number | null, high: number | null): [number, number] => [Math.min(0, low ?? 0), high && high > 0 ? high * 1.08 : low && low < 0 ? 0 : 1];

// Bytes are counted in powers of two.
const POWERS = Array.from({ length: 60 }, (_, i) => 2 ** i);
const incrs = (unit: string) => (unit.startsWith("bytes") ? POWERS : undefined);

// Of a logarithmic scale the powers of ten.
const powers = (_: uPlot, splits: number[]) => splits.map((v) => (v > 0 && Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6 ? v : null));

function options(p: Drawn, width: number, unit: string, current: () => Drawn): uPlot.Options {
  const { series, bands } = seriesOf(p);
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: colour("--dim"), font: `11px ${FONT}`, grid, ticks: { show: false } };
  const others = otherUnits(p);
  const scales: uPlot.Scales = { x: { time: true }, y: { distr: p.log ? 3 : 1, range: rangeY(current) } };
  for (const other of others) scales[`y ${other}`] = { range: rangeOther };
  return {
    width,
    height: p.height ?? 180,
    series,
    bands,
    legend: { show: false },
    padding: [8, others.length ? 0 : AXIS.right, 0, 0],
    cursor: {
      sync: { key: "headgate" },
      drag: { x: p.zoom ?? false, y: false, setScale: false },
      points: { size: 6 },
      y: false,
    },
    scales,
    axes: [
      { ...axis, values: axisTime, size: heightTime, space: spaceTime },
      {
        ...axis,
        incrs: incrs(unit),
        size: AXIS.left,
        gap: 4,
        space: 28,
        filter: p.log ? powers : undefined,
        grid: p.log ? { ...grid, filter: powers } : grid,
        values: (_, splits) => splits.map((v) => (v === null ? "" : inUnit(v, unit))),
      },
      ...others.slice(0, 1).map((other) => ({
        ...axis,
        scale: `y ${other}`,
        side: 1 as const,
        incrs: incrs(other),
        size: AXIS.other,
        gap: 4,
        space: 28,
        grid: { show: false },
        values: (_: uPlot, splits: number[]) => splits.map((v) => inUnit(v, other)),
      })),
    ],
    hooks: {
      draw: [
        (u) => {
          u.ctx.save();
          drawLimits(u, current().limits ?? [], unit);
          drawMarks(u, current().marks ?? []);
          u.ctx.restore();
        },
      ],
      setCursor: [
        (u) => {
          const at = u.cursor.idx;
          const t = at === null || at === undefined || (u.cursor.left ?? -1) < 0 ? null : u.data[0][at];
          cursorMs.value = t === null || t === undefined ? null : t * 1000;
        },
      ],
      setSelect: [
        (u) => {
          if (u.select.width < 8) return;
          const a = u.posToVal(u.select.left, "x") * 1000;
          const b = u.posToVal(u.select.left + u.select.width, "x") * 1000;
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          setRange(String(Math.round(a)), String(Math.round(b)));
        },
      ],
    },
  };
}

const shape = (p: Drawn) =>
  JSON.stringify([p.lines.map((l) => [l.label, l.color, l.dash, l.fill, !!l.low, l.unit]), p.stacked, p.log, p.height, p.unit, p.min, p.max, p.times.length === 1]);

// uPlot, made anew only when what is drawn changes its shape, the width or the colours.
function Canvas(p: Drawn & { unit: string }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(p);
  latest.current = p;
  const form = shape(p);
  const look = scheme.value;
  useLayoutEffect(() => {
    const host = box.current!;
    const u = new uPlot(options(p, host.clientWidth, p.unit, () => latest.current), columnsOf(p), host);
    plot.current = u;
    const watch = new ResizeObserver(() => {
      if (host.clientWidth && host.clientWidth !== u.width) u.setSize({ width: host.clientWidth, height: u.height });
    });
    watch.observe(host);
    return () => {
      watch.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [form, look]);
  useEffect(() => {
    plot.current?.setData(columnsOf(p));
  }, [p.times, p.lines, p.limits, p.marks]);
  useSignalEffect(() => {
    const ms = pointedMs.value;
    const u = plot.current;
    if (u) u.setCursor({ left: ms === null ? -10 : u.valToPos(ms / 1000, "x"), top: ms === null ? -10 : 0 }, false);
  });
  return <div class="plot" ref={box} aria-hidden="true" />;
}

export function indexAt(times: number[], ms: number | null): number {
  if (ms === null || !times.length) return times.length - 1;
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (times[mid]! < ms) low = mid + 1;
    else high = mid;
  }
  return low > 0 && ms - times[low - 1]! < times[low]! - ms ? low - 1 : low;
}

// The newest value of a line that has ended is not "–".
function valueAt(values: Column, at: number, exact: boolean): number | null {
  if (exact) return values[at] ?? null;
  for (let i = at; i >= 0 && i > at - 3; i--) if (values[i] !== null && values[i] !== undefined) return values[i]!;
  return null;
}

// A click on a line's name leaves it alone, another one brings the others back.
function Legend({ p, unit, only }: { p: Drawn; unit: string; only: Signal<string> }) {
  const at = useComputed(() => cursorMs.value);
  const i = indexAt(p.times, at.value);
  return (
    <ul class="legend">
      {p.lines.map((line) => {
        const text = (
          <>
            <i class={line.dash ? "swatch dash" : "swatch"} style={{ "--swatch": `var(${line.color})` }} />
            <span class="name">{line.label}</span>
            <b>{inUnit(valueAt(line.values, i, at.value !== null), line.unit ?? unit)}</b>
          </>
        );
        return (
          <li key={line.label} class={only.value && only.value !== line.label ? "off" : undefined}>
            {p.lines.length === 1 ? (
              text
            ) : (
              <button type="button" class="key" title="only this line, and back" aria-pressed={only.value === line.label} onClick={() => (only.value = only.value === line.label ? "" : line.label)}>
                {text}
              </button>
            )}
          </li>
        );
      })}
    </ul>
  );
}

const ROWS = 60;

function Table({ p, unit }: { p: Drawn; unit: string }) {
  const every = Math.max(1, Math.ceil(p.times.length / ROWS));
  const picks: number[] = [];
  for (let i = p.times.length - 1; i >= 0; i -= every) picks.push(i);
  return (
    <div class="scroll chart-table" tabIndex={0} role="region" aria-label={`${p.title}, as a table`}>
      <table>
        <caption class="hidden">{p.title}</caption>
        <thead>
          <tr>
            <th scope="col">time</th>
            {p.lines.map((line) => (
              <th key={line.label} scope="col" class="num">
                {line.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {picks.map((i) => (
            <tr key={p.times[i]}>
              <th scope="row">{stamp(p.times[i]!)}</th>
              {p.lines.map((line) => (
                <td key={line.label} class="num">
                  {inUnit(line.values[i], line.unit ?? unit)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Chart(given: ChartProps) {
  const only = useSignal("");
  const lines = useMemo(() => painted(given.lines), [given.lines]);
  const shown = useMemo(() => {
    const alone = lines.filter((line) => line.label === only.value);
    return alone.length ? alone : lines;
  }, [lines, only.value]);
  const { help, empty, note, foot, beside, ...drawn } = given;
  const p: Drawn = { ...drawn, lines };
  const unit = p.unit ?? "number";
  const some = p.times.length > 0 && p.lines.some((line) => line.values.some((v) => v !== null));
  return (
    <Frame
      title={p.title}
      help={help}
      note={note}
      foot={foot}
      height={p.height}
      beside={beside}
      nothing={some ? undefined : <p>{empty ?? "no samples in this time"}</p>}
      table={() => <Table p={p} unit={unit} />}
    >
      {() => (
        <>
          <Canvas {...p} lines={shown} unit={unit} />
          <Legend p={p} unit={unit} only={only} />
        </>
      )}
    </Frame>
  );
}
