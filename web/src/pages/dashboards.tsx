// The three dashboards: what clients get, a release under trial beside the one that serves, and the machine.
import { useComputed } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { get } from "../lib/api";
import { Board, timesOf } from "../lib/board";
import { usePageKeys } from "../lib/keys";
import { useJournal } from "../lib/journal";
import { appList } from "../lib/live";
import { fill, marksOf, windowFor, type Dashboard, type Panel, type Panels } from "../lib/panels";
import { useResource } from "../lib/resource";
import { go, href, param, place, setQuery } from "../lib/route";
import { from, live, moved, now, serverNow, setRange, spanOf, to, zoomed, type Span } from "../lib/time";
import { Empty, Failed, Prose, Trouble } from "../ui/bits";
import type { Mark } from "../ui/chart";
import { Copy } from "../ui/copy";
import { AppChoice, Pick } from "../ui/links";
import { PanelView } from "./dashboards_panel";

const move = (by: number) => setRange(...moved(from.peek(), to.peek(), serverNow(), by));
const zoom = (out: boolean) => setRange(...zoomed(from.peek(), to.peek(), serverNow(), out));

const STEER: [string, string, string, () => void][] = [
  ["[", "◀", "earlier", () => move(-1)],
  ["]", "▶", "later", () => move(1)],
  ["-", "−", "zoom out", () => zoom(true)],
  ["+", "+", "zoom in", () => zoom(false)],
];

function Steer() {
  return (
    <span class="steer" role="group" aria-label="Time range">
      {STEER.map(([key, sign, what, act]) => (
        <button key={key} type="button" class="small" title={`${what} (${key})`} aria-label={what} onClick={act}>
          {sign}
        </button>
      ))}
    </span>
  );
}

// The span of all panels: another one only when it reaches a new step.
function useSpan(): Span {
  const key = useComputed(() => {
    const s = spanOf(live.value ? now.value : serverNow());
    return `${s.startMs} ${s.endMs} ${s.stepMs}`;
  }).value;
  return useMemo(() => {
    const [startMs, endMs, stepMs] = key.split(" ").map(Number) as [number, number, number];
    return { startMs, endMs, stepMs };
  }, [key]);
}

// Releases on all charts: from the journal as far as it is known, before that from the metrics store.
function useMarks(board: Board, d: Dashboard, app: string, window: string, span: Span): Mark[] {
  const expr = fill(d.markers, app, window).replaceAll("offset 15s", `offset ${span.stepMs / 1000}s`);
  useEffect(() => board.want([expr]), [board, expr]);
  const journal = useJournal("");
  const answer = board.answer(expr).value;
  return useMemo(() => {
    const known = answer && answer.error === null ? answer : null;
    return marksOf(journal, known?.series ?? [], timesOf(known ?? { ...span, n: Math.round((span.endMs - span.startMs) / span.stepMs) + 1 }), app);
  }, [journal, answer, app, span]);
}

function Queries({ panel, app, window }: { panel: Panel; app: string; window: string }) {
  return (
    <section class="card promql" aria-labelledby="promql-title">
      <h2 id="promql-title">PromQL</h2>
      {panel.queries.map((q) => {
        const text = fill(q.expr, app, window);
        return (
          <div key={q.expr}>
            <p>
              <b>{q.legend}</b> <span class="dim">{q.unit.replaceAll("_", " ")}</span> <Copy text={text} what={`query of ${q.legend}`} />
            </p>
            <pre tabIndex={0} aria-label={`Query of ${q.legend}`}>
              {text}
            </pre>
          </div>
        );
      })}
    </section>
  );
}

function View({ d, windows, app }: { d: Dashboard; windows: string[]; app: string }) {
  const board = useMemo(() => new Board(), []);
  const span = useSpan();
  const wished = param("window");
  const window = windows.includes(wished) ? wished : windowFor(windows, d.window, span.endMs - span.startMs, span.stepMs);
  const marks = useMarks(board, d, app, window, span);
  useEffect(() => board.move(span), [board, span]);
  useEffect(() => {
    const shown = () => !document.hidden && board.again();
    document.addEventListener("visibilitychange", shown);
    return () => {
      document.removeEventListener("visibilitychange", shown);
      board.close();
    };
  }, [board]);
  const id = param("panel");
  const one = d.panels.find((p) => p.id === id);
  const common = { board, app, window, marks };
  return (
    <>
      {board.problem.value && <Trouble problem={board.problem.value} again={() => board.again()} />}
      {id && !one && <Empty>There is no panel {id} here.</Empty>}
      {one ? (
        <div class="panels one">
          <PanelView key={one.id} panel={one} alone {...common} />
          <p class="hint about">
            <Prose text={one.help} />
          </p>
          <Queries panel={one} app={app} window={window} />
        </div>
      ) : (
        <div class="panels">
          {d.panels.map((panel) => (
            <PanelView key={panel.id} panel={panel} {...common} />
          ))}
        </div>
      )}
    </>
  );
}

let asked: Promise<Panels> | null = null; // the same as long as the page is open
function panels(): Promise<Panels> {
  asked ??= get<Panels>("/v1/panels").catch((error) => {
    asked = null;
    throw error;
  });
  return asked;
}

export function Dashboards() {
  const known = useResource(panels, []);
  const name = place.value.path[1] ?? "application";
  const list = known.data?.dashboards ?? [];
  const d = list.find((one) => one.id === name);
  const app = d?.variables.includes("app") ? param("app") : "";
  const alone = param("panel");
  const keys = STEER.map(([key, , what, act]) => ({ keys: key, what: `time range: ${what}`, act }));
  usePageKeys(alone ? [...keys, { keys: "x", what: "back to all panels", act: () => setQuery({ panel: undefined }) }] : keys);
  const kept = { app: param("app"), window: param("window") };
  return (
    <>
      <header class="head">
        <h1>Dashboards</h1>
        <nav class="tabs" aria-label="Dashboards">
          {list.map((one) => (
            <a key={one.id} href={href(["dashboards", one.id], kept)} aria-current={one.id === name ? "page" : undefined}>
              {one.title}
            </a>
          ))}
        </nav>
        {d?.variables.includes("app") && <AppChoice names={appList.value.map((a) => a.name)} />}
        {d && <Pick name="window" label="Rates over" options={[["", "rates: automatic"], ...known.data!.windows.map((w): [string, string] => [w, `rates over ${w}`])]} />}
        {d && <Steer />}
      </header>
      <Failed of={known} />
      {known.data && !d && (
        <Empty>
          There is no dashboard {name}. <a href={href(["dashboards"])}>To the first one</a>
        </Empty>
      )}
      {d && (
        <div class="about">
          <h2>{d.title}</h2>
          <p class="dim">{d.help}</p>
          {alone && (
            <button type="button" class="quiet" onClick={() => go(["dashboards", name], kept)}>
              all panels <kbd>x</kbd>
            </button>
          )}
        </div>
      )}
      {d && <View d={d} windows={known.data!.windows} app={app} />}
    </>
  );
}
