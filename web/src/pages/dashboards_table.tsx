// Panels without a time axis: values as they are now, as rows to sort or as figures.
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { inUnit } from "../lib/format";
import { lastOf, legendOf, tableOf, type Panel, type PanelQuery } from "../lib/panels";
import { href } from "../lib/route";
import type { ColumnSeries } from "../lib/types";
import { Figure, Spark, type Tone } from "../ui/bits";
import { Frame, type FrameProps } from "../ui/frame";

export interface NowProps extends FrameProps {
  panel: Panel;
  found: { query: PanelQuery; series: ColumnSeries[] }[];
}

const KEYS = ["app", "route"];

function Head({ name, at, sort, num }: { name: string; at: number; sort: { value: number }; num?: boolean }) {
  const on = Math.abs(sort.value) === at;
  const down = sort.value < 0;
  return (
    <th scope="col" class={num ? "num" : undefined} aria-sort={on ? (down ? "descending" : "ascending") : "none"}>
      <button type="button" class="quiet small sort" onClick={() => (sort.value = on ? -sort.value : num ? -at : at)}>
        {name}
        <span aria-hidden="true"> {on ? (down ? "▼" : "▲") : "↕"}</span>
      </button>
    </th>
  );
}

export function RowsPanel(p: NowProps) {
  const sort = useSignal(-(KEYS.length + 1)); // number of the column from 1; negative: falling
  const rows = useMemo(() => tableOf(p.found, KEYS), [p.found]);
  const col = Math.abs(sort.value) - 1;
  const sign = Math.sign(sort.value);
  const sorted = useMemo(() => {
    const key = (i: number) => (col < KEYS.length ? (rows[i]!.labels[KEYS[col]!] ?? "") : rows[i]!.values[col - KEYS.length]!);
    return rows
      .map((_, i) => i)
      .sort((a, b) => {
        const x = key(a);
        const y = key(b);
        // What is not known stands last, whichever way it is sorted.
        if (x === null || y === null) return x === y ? a - b : x === null ? 1 : -1;
        return (x < y ? -1 : x > y ? 1 : 0) * sign || a - b;
      })
      .map((i) => rows[i]!);
  }, [rows, col, sign]);
  return (
    <Frame {...p} nothing={p.nothing ?? (rows.length ? undefined : <p>no samples in this time</p>)}>
      {() => (
        <div class="scroll now" style={{ maxHeight: `${(p.height ?? 180) + 50}px` }} tabIndex={0} role="region" aria-label={p.title}>
          <table class="rows">
            <caption class="hidden">{p.title}</caption>
            <thead>
              <tr>
                {KEYS.map((key, i) => (
                  <Head key={key} name={key} at={i + 1} sort={sort} />
                ))}
                {p.panel.queries.map((q, i) => (
                  <Head key={q.legend} name={q.legend} at={KEYS.length + i + 1} sort={sort} num />
                ))}
              </tr>
            </thead>
            <tbody>
              {sorted.map((row) => (
                <tr key={`${row.labels.app} ${row.labels.route}`} data-row tabIndex={-1}>
                  <th scope="row">
                    <a href={href(["apps", row.labels.app ?? ""])} data-open>
                      {row.labels.app}
                    </a>
                  </th>
                  <td>{row.labels.route}</td>
                  {row.values.map((v, i) => (
                    <td key={i} class="num">
                      {inUnit(v, p.panel.queries[i]!.unit)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Frame>
  );
}

function toneOf(panel: Panel, q: PanelQuery, v: number | null): Tone | undefined {
  if (v === null || q.unit !== panel.unit) return undefined;
  const over = panel.thresholds.filter((t) => v >= t.value).at(-1);
  return over && (over.colour === "red" ? "bad" : "warn");
}

export function StatPanel(p: NowProps) {
  const figures = p.found.flatMap(({ query, series }) => series.map((s) => ({ query, name: legendOf(query.legend, s.labels), values: s.values, now: lastOf(s.values) })));
  return (
    <Frame {...p} nothing={p.nothing ?? (figures.length ? undefined : <p>no samples in this time</p>)}>
      {() => (
        <dl class="figures stats scroll" tabIndex={0} aria-label={p.title} style={{ maxHeight: `${(p.height ?? 180) + 50}px` }}>
          {figures.map((f) => (
            <Figure key={f.name} name={f.name} tone={toneOf(p.panel, f.query, f.now)}>
              {inUnit(f.now, f.query.unit)} <Spark values={f.values} label={`${f.name} over this time`} />
            </Figure>
          ))}
        </dl>
      )}
    </Frame>
  );
}
