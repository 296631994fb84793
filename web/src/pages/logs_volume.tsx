// How many lines there were, by level: where to look. A click, or Enter, goes to that time.
import { useComputed, useSignal } from "@preact/signals";
import { get } from "../lib/api";
import { clock, count, duration, stamp } from "../lib/format";
import { tables } from "../lib/keys";
import { useResource } from "../lib/resource";
import { live, now, serverNow, spanOf } from "../lib/time";
import type { LogVolume } from "../lib/types";
import { askOf } from "./logs";

const LEVELS = ["error", "warn", "info", "debug"] as const;
const AGAIN_MS = 15_000;
const BUCKETS = 100;

const sum = (v: LogVolume, i: number) => LEVELS.reduce((n, level) => n + v[level][i]!, 0);

function words(v: LogVolume, i: number): string {
  const parts = LEVELS.filter((level) => v[level][i]).map((level) => `${count(v[level][i]!)} ${level}`);
  return `${clock(v.start_ms + i * v.step_ms)}: ${parts.length ? parts.join(", ") : "no line"}`;
}

function Bars({ v, at }: { v: LogVolume; at: number }) {
  const top = Math.max(1, ...Array.from({ length: v.n }, (_, i) => sum(v, i)));
  const rects = [];
  for (let i = 0; i < v.n; i++) {
    let y = 100;
    for (const level of LEVELS) {
      const n = v[level][i]!;
      if (!n) continue;
      const h = Math.max(1.5, (n / top) * 96);
      y -= h;
      rects.push(<rect key={`${level}${i}`} class={level} x={i + 0.08} y={y} width={0.84} height={h} />);
    }
  }
  return (
    <svg viewBox={`0 0 ${v.n} 100`} preserveAspectRatio="none" aria-hidden="true">
      {at >= 0 && <rect class="at" x={at} y={0} width={1} height={100} />}
      {rects}
    </svg>
  );
}

function Table({ v, go }: { v: LogVolume; go: (i: number) => void }) {
  const rows = Array.from({ length: v.n }, (_, i) => v.n - 1 - i).filter((i) => sum(v, i) > 0);
  return (
    <div class="scroll chart-table" tabIndex={0} role="region" aria-label="Lines by level, as a table">
      <table>
        <caption class="hidden">Lines by level</caption>
        <thead>
          <tr>
            <th scope="col">time</th>
            {LEVELS.map((level) => (
              <th key={level} scope="col" class="num">
                {level}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((i) => (
            <tr key={i}>
              <th scope="row">
                <button type="button" class="quiet small" onClick={() => go(i)}>
                  {stamp(v.start_ms + i * v.step_ms)}
                </button>
              </th>
              {LEVELS.map((level) => (
                <td key={level} class="num">
                  {count(v[level][i]!)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Volume({ asked, goTo }: { asked: string; goTo: (startMs: number, endMs: number) => void }) {
  // A long time is not counted again and again for a bar that hardly grows.
  const turn = useComputed(() => (live.value ? Math.floor(now.value / Math.max(AGAIN_MS, spanOf(now.value, BUCKETS).stepMs / 4)) : 0));
  const picked = useSignal(-1);
  const data = useResource(
    (signal) => {
      const s = spanOf(serverNow(), BUCKETS);
      const until = s.endMs + s.stepMs;
      const query = new URLSearchParams({ ...askOf(), since: String(s.startMs), until: String(until), buckets: String((until - s.startMs) / s.stepMs) });
      return get<LogVolume>(`/v1/logs/volume?${query}`, signal);
    },
    [asked, turn.value],
  );
  const v = data.data;
  if (!v) return <section class="card volume" aria-label="Lines by level" aria-busy={data.loading} />;
  const at = Math.min(picked.value, v.n - 1);
  const go = (i: number) => i >= 0 && goTo(v.start_ms + i * v.step_ms, v.start_ms + (i + 1) * v.step_ms);
  const total = (level: (typeof LEVELS)[number]) => v[level].reduce((a, b) => a + b, 0);
  const key = (e: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -v.n, End: v.n }[e.key];
    if (by) picked.value = Math.max(0, Math.min(v.n - 1, (at < 0 ? v.n : at) + by));
    else if (e.key === "Enter") go(at);
    else return;
    e.preventDefault();
    e.stopPropagation();
  };
  const under = (e: MouseEvent & { currentTarget: HTMLElement }) => {
    const box = e.currentTarget.getBoundingClientRect();
    return Math.max(0, Math.min(v.n - 1, Math.floor(((e.clientX - box.left) / box.width) * v.n)));
  };
  return (
    <section class="card volume" aria-label="Lines by level" data-total={LEVELS.reduce((n, level) => n + total(level), 0)}>
      {tables.value ? (
        <Table v={v} go={go} />
      ) : (
        <div
          class="levels"
          role="slider"
          tabIndex={0}
          aria-label="Lines by level; Enter goes to the time"
          aria-valuemin={0}
          aria-valuemax={v.n - 1}
          aria-valuenow={at < 0 ? v.n - 1 : at}
          aria-valuetext={words(v, at < 0 ? v.n - 1 : at)}
          onKeyDown={key}
          onMouseMove={(e) => (picked.value = under(e))}
          onMouseLeave={() => (picked.value = -1)}
          onClick={(e) => go(under(e))}
        >
          <Bars v={v} at={at} />
        </div>
      )}
      <p class="under">
        <span class="dim">
          {at < 0 ? `lines in ${duration(v.step_ms)}, ${clock(v.start_ms)} to ${clock(v.start_ms + v.n * v.step_ms)}` : words(v, at)}
        </span>
        <span class="space" />
        {LEVELS.filter((level) => total(level)).map((level) => (
          <span key={level} class={`key ${level}`}>
            {level} <b>{count(total(level))}</b>
          </span>
        ))}
      </p>
      {data.problem && <p class="hint">The counts could not be read: {data.problem.detail ?? data.problem.title}</p>}
    </section>
  );
}
