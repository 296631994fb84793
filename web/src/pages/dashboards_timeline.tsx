// Rollouts as bands over time: their phases, and the releases that took traffic.
import { useMemo } from "preact/hooks";
import { phaseText } from "../lib/events";
import { duration, stamp, when } from "../lib/format";
import { rowsOf, type Band, type PanelQuery, type Row } from "../lib/panels";
import type { ColumnSeries } from "../lib/types";
import { Columns } from "../ui/bits";
import { AXIS } from "../ui/chart";
import { Frame, type FrameProps } from "../ui/frame";
import { TimeBox } from "../ui/timebox";

const ROWS = 15;
const PHASES = new Set(["start", "gate", "step", "hold", "promote", "watch", "back", "end"]);

const kindOf = (b: Band) => (b.kind === "release" ? `release r${Math.abs(b.value) % 4}` : PHASES.has(b.kind) ? `phase ${b.kind}` : "phase");

function Bands({ row, fromMs, toMs }: { row: Row; fromMs: number; toMs: number }) {
  const at = (ms: number) => `${(Math.max(0, Math.min(1, (ms - fromMs) / (toMs - fromMs))) * 100).toFixed(3)}%`;
  return (
    <div class="lane">
      {row.bands.map((b) => (
        <span key={`${b.fromMs}${b.text}`} class={kindOf(b)} style={{ left: at(b.fromMs), right: `calc(100% - ${at(b.toMs)})` }} title={`${row.name}: ${b.text}, ${stamp(b.fromMs)}, ${duration(b.toMs - b.fromMs)}`}>
          {b.text}
        </span>
      ))}
    </div>
  );
}

function Table({ title, rows }: { title: string; rows: Row[] }) {
  return (
    <div class="scroll chart-table" tabIndex={0} role="region" aria-label={`${title}, as a table`}>
      <table>
        <caption class="hidden">{title}</caption>
        <Columns of={["what", "state", "from", "#lasted"]} />
        <tbody>
          {rows.flatMap((row) =>
            row.bands.map((b) => (
              <tr key={`${row.name}${b.fromMs}${b.text}`}>
                <th scope="row">{row.name}</th>
                <td>{b.text}</td>
                <td>{stamp(b.fromMs)}</td>
                <td class="num">{duration(b.toMs - b.fromMs)}</td>
              </tr>
            )),
          )}
        </tbody>
      </table>
    </div>
  );
}

export interface TimelineProps extends FrameProps {
  found: { query: PanelQuery; series: ColumnSeries[] }[];
  times: number[];
}

export function Timeline(p: TimelineProps) {
  const all = useMemo(() => rowsOf(p.found, p.times, phaseText), [p.found, p.times]);
  const fromMs = p.times[0] ?? 0;
  const toMs = p.times.at(-1) ?? 1;
  // With many apps, those that moved: a release that serves all the time says little.
  const rows = useMemo(() => {
    const still = (row: Row) => row.bands.length === 1 && row.bands[0]!.fromMs <= fromMs && row.bands[0]!.toMs >= toMs;
    return [...all].sort((a, b) => Number(still(a)) - Number(still(b))).slice(0, ROWS);
  }, [all, fromMs, toMs]);
  return (
    <Frame {...p} nothing={p.nothing ?? (rows.length ? undefined : <p>no release in this time</p>)} table={() => <Table title={p.title} rows={all} />}>
      {() => (
        <>
          <TimeBox fromMs={fromMs} toMs={toMs} left={0} right={AXIS.right} className="timeline">
            {rows.map((row) => (
              <div key={row.name} class="track">
                <span class="name">{row.name}</span>
                <Bands row={row} fromMs={fromMs} toMs={toMs} />
              </div>
            ))}
          </TimeBox>
          <p class="ends dim">
            <span>{when(fromMs, toMs)}</span>
            {all.length > rows.length && <span>{all.length - rows.length} more: choose an app</span>}
            <span>{when(toMs, toMs)}</span>
          </p>
        </>
      )}
    </Frame>
  );
}
