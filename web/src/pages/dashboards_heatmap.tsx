// Where the latencies lie: time to the right, buckets upwards, the more requests the stronger the colour.
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { inUnit, number, stamp } from "../lib/format";
import { heatAt, heatOf, type Heat } from "../lib/panels";
import { colour, faded, FONT, scheme } from "../lib/scheme";
import type { ColumnSeries } from "../lib/types";
import { AXIS, cursorMs, indexAt, type Mark } from "../ui/chart";
import { timeTexts } from "../ui/chart_draw";
import { Frame, type FrameProps } from "../ui/frame";
import { TimeBox } from "../ui/timebox";

const FOOT = 24; // the time below
const INCRS = [30, 60, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800, 604_800];

const edgeText = (edge: number, unit: string) => (Number.isFinite(edge) ? inUnit(edge, unit) : "more");
// Few among many can still be seen.
const strength = (v: number, top: number) => 0.08 + 0.92 * Math.sqrt(v / top);

// Round times, not nearer than `px` to each other, as the charts write them.
function ticksOf(fromMs: number, toMs: number, width: number, px: number): { incr: number; at: number[] } {
  const wish = ((toMs - fromMs) / 1000) * (px / Math.max(px, width));
  const incr = INCRS.find((s) => s >= wish) ?? INCRS.at(-1)!;
  const zone = new Date(fromMs).getTimezoneOffset() * 60;
  const at: number[] = [];
  for (let t = Math.ceil((fromMs / 1000 - zone) / incr) * incr + zone; t <= toMs / 1000; t += incr) at.push(t);
  return { incr, at };
}

interface Drawn {
  heat: Heat;
  times: number[];
  unit: string;
  marks: Mark[];
  height: number;
}

function axes(c: CanvasRenderingContext2D, d: Drawn, x: (ms: number) => number, width: number, h: number) {
  const rows = d.heat.rows.length;
  c.fillStyle = colour("--dim");
  c.font = `11px ${FONT}`;
  c.textBaseline = "middle";
  c.textAlign = "right";
  const every = Math.ceil(rows / Math.max(1, Math.floor(h / 18)));
  for (let k = 0; k < rows; k += every) c.fillText(edgeText(d.heat.edges[k]!, d.unit), AXIS.left - 6, h - ((k + 1) / rows) * h + 6);
  c.textAlign = "center";
  const { incr, at } = ticksOf(d.times[0]!, d.times.at(-1)!, width - AXIS.left - AXIS.right, 64);
  const texts = timeTexts(at, incr);
  at.forEach((s, i) => c.fillText(texts[i]!.split("\n")[0]!, x(s * 1000), h + 12));
}

function draw(canvas: HTMLCanvasElement, d: Drawn) {
  const width = canvas.clientWidth;
  const scale = devicePixelRatio;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(d.height * scale);
  const c = canvas.getContext("2d")!;
  c.scale(scale, scale);
  const h = d.height - FOOT - 8;
  const from = d.times[0]!;
  const w = width - AXIS.left - AXIS.right;
  const x = (ms: number) => AXIS.left + ((ms - from) / (d.times.at(-1)! - from || 1)) * w;
  const rows = d.heat.rows.length;
  const cell = w / Math.max(1, d.times.length - 1);
  const ink = colour("--c2");
  c.save();
  c.translate(0, 8);
  // Sixteen colours are told apart; making one for each cell would take longer than drawing it.
  const inks = Array.from({ length: 17 }, (_, i) => faded(ink, i / 16));
  d.heat.rows.forEach((row, k) => {
    const y = h - ((k + 1) / rows) * h;
    row.forEach((v, i) => {
      if (v === null || v <= 1e-9) return;
      c.fillStyle = inks[Math.round(strength(v, d.heat.top) * 16)]!;
      const left = Math.max(AXIS.left, x(d.times[i]!) - cell / 2);
      c.fillRect(left, y, Math.min(cell, AXIS.left + w - left) + 0.4, h / rows - 0.6);
    });
  });
  c.strokeStyle = colour("--line");
  c.strokeRect(AXIS.left, 0, w, h);
  for (const m of d.marks) {
    if (m.ms < from || m.ms > d.times.at(-1)!) continue;
    c.fillStyle = colour(m.tone === "bad" ? "--bad" : m.tone === "good" ? "--good" : "--dim");
    c.fillRect(x(m.ms), 0, 1, h);
  }
  axes(c, d, x, width, h);
  c.restore();
}

function Picture(d: Drawn) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const latest = useRef(d);
  latest.current = d;
  useLayoutEffect(() => draw(canvas.current!, d), [d.heat, d.times, d.marks, d.height, scheme.value]);
  useLayoutEffect(() => {
    const watch = new ResizeObserver(() => draw(canvas.current!, latest.current));
    watch.observe(canvas.current!);
    return () => watch.disconnect();
  }, []);
  return <canvas ref={canvas} style={{ height: `${d.height}px` }} aria-hidden="true" />;
}

function Read({ heat, times, unit }: { heat: Heat; times: number[]; unit: string }) {
  const i = indexAt(times, cursorMs.value);
  const half = heatAt(heat, i, 0.5);
  const most = heatAt(heat, i, 0.95);
  return (
    <ul class="legend">
      <li>
        <i class="ramp" aria-hidden="true" />
        <span class="name">a second, at most</span>
        <b>{number(heat.top)}</b>
      </li>
      <li>
        <span class="name">half within</span>
        <b>{half ? edgeText(half.edge, unit) : "–"}</b>
      </li>
      <li>
        <span class="name">95 % within</span>
        <b>{most ? edgeText(most.edge, unit) : "–"}</b>
      </li>
      <li>
        <span class="name">all</span>
        <b>{half ? `${number(half.sum)}/s` : "–"}</b>
      </li>
    </ul>
  );
}

function Table({ name, heat, times, unit }: { name: string; heat: Heat; times: number[]; unit: string }) {
  const every = Math.max(1, Math.ceil(times.length / 60));
  const picks: number[] = [];
  for (let i = times.length - 1; i >= 0; i -= every) picks.push(i);
  return (
    <div class="scroll chart-table" tabIndex={0} role="region" aria-label={`${name}, as a table`}>
      <table>
        <caption class="hidden">{name}: a second, by how long they took at most</caption>
        <thead>
          <tr>
            <th scope="col">time</th>
            {heat.edges.map((edge) => (
              <th key={edge} scope="col" class="num">
                {Number.isFinite(edge) ? `≤ ${inUnit(edge, unit)}` : "more"}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {picks.map((i) => (
            <tr key={times[i]}>
              <th scope="row">{stamp(times[i]!)}</th>
              {heat.rows.map((row, k) => (
                <td key={k} class="num">
                  {number(row[i], 2)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export interface HeatmapProps extends FrameProps {
  parts: { name: string; series: ColumnSeries[] }[];
  times: number[];
  unit: string;
  marks: Mark[];
}

// Several queries are several pictures side by side, each with its own strengths.
export function Heatmap(p: HeatmapProps) {
  const parts = useMemo(() => p.parts.map((part) => ({ name: part.name, heat: heatOf(part.series) })).filter((part) => part.heat.rows.length), [p.parts]);
  const height = p.height ?? 180;
  const title = (name: string) => (name ? `${p.title}: ${name}` : p.title);
  const of = (name: string, heat: Heat) => <Table key={name} name={title(name)} heat={heat} times={p.times} unit={p.unit} />;
  return (
    <Frame {...p} nothing={p.nothing ?? (parts.length ? undefined : <p>no requests in this time</p>)} table={() => <div>{parts.map((part) => of(part.name, part.heat))}</div>}>
      {() => (
        <div class="heats">
          {parts.map(({ name, heat }) => (
            <div key={name}>
              {name && <p class="dim">{name}</p>}
              <TimeBox fromMs={p.times[0]!} toMs={p.times.at(-1)!} left={AXIS.left} right={AXIS.right} className="heat">
                <Picture heat={heat} times={p.times} unit={p.unit} marks={p.marks} height={height} />
              </TimeBox>
              <Read heat={heat} times={p.times} unit={p.unit} />
            </div>
          ))}
        </div>
      )}
    </Frame>
  );
}
