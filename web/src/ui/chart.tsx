// A chart of time series: canvas for the eye, legend with numbers, and the same as a table for who cannot or does not
// wish to see it. The crosshair is shared by all charts of a page; dragging sets the time range of all.
import { signal, useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { clock, day, inUnit, stamp } from "../lib/format";
import { tables } from "../lib/keys";
import { setRange } from "../lib/time";
import type { Column } from "../lib/types";
import { colour, faded, FONT, scheme } from "../lib/scheme";

export interface Line {
  label: string;
  values: Column;
  color?: string; // a custom property, "--c1"
  dash?: boolean;
  fill?: boolean;
  low?: Column; // an interval around the line
  high?: Column;
}

export interface Mark {
  ms: number;
  label: string;
  tone?: "bad" | "good" | "plain";
}

export interface Limit {
  value: number;
  label: string;
  tone?: "bad" | "warn" | "good";
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
}

export const PALETTE = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];
const paint = (line: Line, i: number) => colour(line.color ?? PALETTE[i % PALETTE.length]!);

// Where the crosshair is, in milliseconds: legends of all charts follow it.
export const cursorMs = signal<number | null>(null);

function stack(lines: Line[]): Column[] {
  const sum = new Array<number>(lines[0]?.values.length ?? 0).fill(0);
  return lines.map((line) => line.values.map((v, i) => (sum[i]! += v ?? 0)));
}

// uPlot wants what is drawn behind first: a stack is drawn from its top.
function columnsOf(p: ChartProps): uPlot.AlignedData {
  const t = p.times.map((ms) => ms / 1000);
  if (p.stacked) return [t, ...stack(p.lines).reverse()] as uPlot.AlignedData;
  const out: Column[] = [];
  for (const line of p.lines) {
    out.push(line.values);
    if (line.low && line.high) out.push(line.high, line.low);
  }
  return [t, ...out] as uPlot.AlignedData;
}

function seriesOf(p: ChartProps): { series: uPlot.Series[]; bands: uPlot.Band[] } {
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  const pick = p.stacked ? [...p.lines].reverse() : p.lines;
  pick.forEach((line, k) => {
    const i = p.stacked ? p.lines.length - 1 - k : k;
    const stroke = paint(line, i);
    const single = p.times.length === 1;
    series.push({
      label: line.label,
      stroke,
      width: p.stacked ? 1 : 1.75,
      dash: line.dash ? [5, 4] : undefined,
      fill: p.stacked ? faded(stroke, 0.6) : line.fill ? faded(stroke, 0.15) : undefined,
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

function drawLimits(u: uPlot, limits: Limit[], unit: string) {
  const { ctx } = u;
  const scale = devicePixelRatio;
  for (const limit of limits) {
    const y = u.valToPos(limit.value, "y", true);
    if (y < u.bbox.top - 1 || y > u.bbox.top + u.bbox.height + 1) continue;
    const color = colour(limit.tone === "good" ? "--good" : limit.tone === "warn" ? "--warn" : "--bad");
    ctx.strokeStyle = color;
    ctx.lineWidth = scale;
    ctx.setLineDash([4 * scale, 4 * scale]);
    ctx.beginPath();
    ctx.moveTo(u.bbox.left, y);
    ctx.lineTo(u.bbox.left + u.bbox.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.fillStyle = color;
    ctx.font = `${11 * scale}px ${FONT}`;
    ctx.textAlign = "right";
    const above = y - u.bbox.top > 16 * scale;
    ctx.fillText(`${limit.label} ${inUnit(limit.value, unit)}`, u.bbox.left + u.bbox.width - 4 * scale, above ? y - 4 * scale : y + 12 * scale);
  }
}

function drawMarks(u: uPlot, marks: Mark[]) {
  const { ctx } = u;
  const scale = devicePixelRatio;
  let free = -Infinity;
  for (const mark of marks) {
    const x = u.valToPos(mark.ms / 1000, "x", true);
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
    ctx.strokeStyle = ctx.fillStyle = colour(mark.tone === "bad" ? "--bad" : mark.tone === "good" ? "--good" : "--dim");
    ctx.lineWidth = scale;
    ctx.beginPath();
    ctx.moveTo(x, u.bbox.top);
    ctx.lineTo(x, u.bbox.top + u.bbox.height);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x - 4 * scale, u.bbox.top);
    ctx.lineTo(x + 4 * scale, u.bbox.top);
    ctx.lineTo(x, u.bbox.top + 6 * scale);
    ctx.fill();
    ctx.font = `${10 * scale}px ${FONT}`;
    ctx.textAlign = "left";
    const width = ctx.measureText(mark.label).width;
    if (x + 5 * scale < free || x + width + 6 * scale > u.bbox.left + u.bbox.width) continue;
    ctx.fillText(mark.label, x + 5 * scale, u.bbox.top + 10 * scale);
    free = x + width + 14 * scale;
  }
}

function axisTime(_: uPlot, splits: number[], __: number, ___: number, incr: number): string[] {
  let last = "";
  return splits.map((s) => {
    const ms = s * 1000;
    const d = day(ms);
    const text = incr >= 86_400 ? d.slice(5) : incr < 60 ? clock(ms) : clock(ms).slice(0, 5);
    const newDay = last !== "" && d !== last && incr < 86_400;
    last = d;
    return newDay ? `${text}\n${d.slice(5)}` : text;
  });
}

// A scale that starts at 0, shows every limit that is near, and is not flat when all is 0.
function rangeY(p: ChartProps): (u: uPlot, low: number | null, high: number | null) => [number, number] {
  return (_, low, high) => {
    if (p.log) return [Math.min(low ?? 0.1, 0.1), Math.max(10, (high ?? 1) * 1.3)];
    let top = Math.max(high ?? 0, 0);
    for (const limit of p.limits ?? []) if (limit.value <= top * 4 || top === 0) top = Math.max(top, limit.value);
    if (p.max !== undefined) top = Math.max(p.max, top);
    if (top === 0) top = p.unit === "ratio" ? 0.01 : 1;
    const bottom = p.min ?? Math.min(0, low ?? 0);
    return [bottom, top * 1.08];
  };
}

// Of a logarithmic scale the powers of ten.
const powers = (_: uPlot, splits: number[]) => splits.map((v) => (v > 0 && Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6 ? v : null));

function options(p: ChartProps, width: number, unit: string, current: () => ChartProps): uPlot.Options {
  const { series, bands } = seriesOf(p);
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: colour("--dim"), font: `11px ${FONT}`, grid, ticks: { show: false } };
  return {
    width,
    height: p.height ?? 180,
    series,
    bands,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: {
      sync: { key: "headgate" },
      drag: { x: p.zoom ?? false, y: false, setScale: false },
      points: { size: 6 },
      y: false,
    },
    scales: { x: { time: true }, y: { distr: p.log ? 3 : 1, range: rangeY(p) } },
    axes: [
      { ...axis, values: axisTime, size: 28, space: 64 },
      {
        ...axis,
        size: 64,
        gap: 4,
        space: 28,
        filter: p.log ? powers : undefined,
        grid: p.log ? { ...grid, filter: powers } : grid,
        values: (_, splits) => splits.map((v) => (v === null ? "" : inUnit(v, unit))),
      },
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

const shape = (p: ChartProps) =>
  JSON.stringify([p.lines.map((l) => [l.label, l.color, l.dash, l.fill, !!l.low]), p.stacked, p.log, p.height, p.unit, p.min, p.max, p.times.length === 1]);

// uPlot, made anew only when what is drawn changes its shape, the width or the colours.
function Canvas(p: ChartProps & { unit: string }) {
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
  return <div class="plot" ref={box} aria-hidden="true" />;
}

function indexAt(times: number[], ms: number | null): number {
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

function Legend({ p, unit }: { p: ChartProps; unit: string }) {
  const at = useComputed(() => cursorMs.value);
  const i = indexAt(p.times, at.value);
  return (
    <ul class="legend">
      {p.lines.map((line, k) => (
        <li key={line.label}>
          <i class={line.dash ? "swatch dash" : "swatch"} style={{ "--swatch": `var(${line.color ?? PALETTE[k % PALETTE.length]})` }} />
          <span class="name">{line.label}</span>
          <b>{inUnit(valueAt(line.values, i, at.value !== null), unit)}</b>
        </li>
      ))}
    </ul>
  );
}

const ROWS = 60;

function Table({ p, unit }: { p: ChartProps; unit: string }) {
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
                  {inUnit(line.values[i], unit)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Chart(p: ChartProps) {
  const own = useSignal(false);
  const unit = p.unit ?? "number";
  const some = p.times.length > 0 && p.lines.some((line) => line.values.some((v) => v !== null));
  const asTable = tables.value !== own.value;
  return (
    <figure class="chart card">
      <figcaption>
        <h3 title={p.help}>{p.title}</h3>
        {p.note}
        {some && (
          <button type="button" class="quiet small" aria-pressed={asTable} onClick={() => (own.value = !own.value)}>
            {asTable ? "chart" : "table"}
            <span class="hidden"> of {p.title}</span>
          </button>
        )}
      </figcaption>
      {!some ? (
        <p class="nothing" style={{ height: `${p.height ?? 180}px` }}>
          {p.empty ?? "no samples in this time"}
        </p>
      ) : asTable ? (
        <Table p={p} unit={unit} />
      ) : (
        <>
          <Canvas {...p} unit={unit} />
          <Legend p={p} unit={unit} />
        </>
      )}
    </figure>
  );
}
