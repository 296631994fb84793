// The audit trail: every change that was asked for, by whom, and what came of it; newest first, as far back as it goes.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { get, problemOf } from "../lib/api";
import { ofDetails } from "../lib/changes";
import { count, person, stamp, when } from "../lib/format";
import { usePageKeys } from "../lib/keys";
import { param, setQuery } from "../lib/route";
import { narrow } from "../lib/screen";
import { now } from "../lib/time";
import type { AuditEntry, Problem } from "../lib/types";
import { Ago, announce, Aside, Empty, Failed, Members, State, type Tone } from "../ui/bits";
import { Changes } from "../ui/changes";
import { SearchBox } from "../ui/links";
import { Rows } from "../ui/rows";

const PAGE = 500;

// "POST /v1/apps/feedback/scale (dry run)" in parts.
function partsOf(what: string): { verb: string; path: string; dry: boolean } {
  const dry = what.endsWith(" (dry run)");
  const [verb = "", ...path] = (dry ? what.slice(0, -10) : what).split(" ");
  return { verb, path: path.join(" "), dry };
}

const toneOf = (e: AuditEntry): Tone => (e.result === "ok" ? "good" : "bad");
const FROM: Record<string, string> = { unix: "the socket", token: "a token" };
const from = (who: string) => (who.includes(":") ? (FROM[who.split(":")[0]!] ?? who.split(":")[0]) : "–");

function Cells({ e }: { e: AuditEntry }) {
  const { verb, path, dry } = partsOf(e.what);
  return (
    <>
      <span role="cell" class="dim num when" title={stamp(e.ts_ms)}>
        {when(e.ts_ms, now.value)}
      </span>
      <span role="cell" class="who">
        {person(e.who)}
      </span>
      <span role="cell" class="dim">
        {from(e.who)}
      </span>
      <span role="cell" class="mono" title={e.what}>
        {verb} {path}
        {dry && <span class="dim"> only tried</span>}
      </span>
      <span role="cell" class="target">{e.target}</span>
      <span role="cell">
        <State tone={toneOf(e)}>{e.result}</State>
      </span>
    </>
  );
}

function Opened({ e, close }: { e: AuditEntry; close: () => void }) {
  const details = ofDetails(e.details);
  return (
    <Aside title={`Entry ${e.id}`} close={close}>
      <p>
        <State tone={toneOf(e)}>{e.result === "ok" ? "done" : `refused: ${e.result}`}</State> <Ago ms={e.ts_ms} /> <span class="dim">({stamp(e.ts_ms)})</span>
      </p>
      <Members
        label="the entry"
        of={[
          ["who", person(e.who)],
          ["from", from(e.who)],
          ["what", e.what],
          ["target", e.target || "–"],
        ]}
      />
      <h3>Details</h3>
      {details.length ? <Changes of={details} label="Details" /> : <p class="hint">The trail holds nothing more about it.</p>}
      {e.result !== "ok" && (
        <p class="hint">
          <code>headgate help {e.result}</code> explains it.
        </p>
      )}
    </Aside>
  );
}

interface Trail {
  entries: AuditEntry[];
  over: boolean;
}

// Grows backwards, a page at a time.
function useTrail() {
  const trail = useSignal<Trail>({ entries: [], over: false });
  const problem = useSignal<Problem | null>(null);
  const busy = useRef(false);
  const gone = useRef(new AbortController());
  const more = async () => {
    if (busy.current || trail.peek().over || problem.peek()) return;
    busy.current = true;
    const had = trail.peek().entries;
    try {
      const before = had.at(-1)?.id;
      const page = await get<{ entries: AuditEntry[] }>(`/v1/audit?limit=${PAGE}${before ? `&before=${before}` : ""}`, gone.current.signal);
      trail.value = { entries: [...had, ...page.entries], over: page.entries.length < PAGE };
    } catch (error) {
      if (!gone.current.signal.aborted) problem.value = problemOf(error);
    }
    busy.current = false;
  };
  useEffect(() => {
    void more();
    return () => gone.current.abort();
  }, []);
  const again = () => {
    problem.value = null;
    void more();
  };
  return { ...trail.value, problem: problem.value, more, again };
}

export function Audit() {
  const t = useTrail();
  const q = param("q").toLowerCase();
  const list = q ? t.entries.filter((e) => `${e.who} ${e.what} ${e.target} ${e.result} ${JSON.stringify(e.details)}`.toLowerCase().includes(q)) : t.entries;
  const opened = t.entries.find((e) => String(e.id) === param("entry"));
  const close = () => {
    setQuery({ entry: undefined });
    document.querySelector<HTMLElement>(".audit .vbody")?.focus({ preventScroll: true });
  };
  usePageKeys([{ keys: "x", what: "close the opened entry", act: close }]);
  // A filter that finds little looks further back by itself, so that "nothing" means nothing at all.
  useEffect(() => {
    if (q && list.length < 60) void t.more();
  }, [q, t.entries.length]);
  return (
    <>
      <header class="head">
        <h1>Audit</h1>
        <span class="dim" data-entries={list.length}>
          {q ? `${count(list.length)} of ${count(t.entries.length)}` : count(t.entries.length)} entries{t.over ? "" : " so far"}
        </span>
        <SearchBox label="Filter the audit trail" />
      </header>
      <Failed of={t} />
      <div class={`logs ${opened ? "opened" : ""}`}>
        <section class="card whole" aria-label="Entries">
          <Rows
            label="Audit trail, newest first"
            className="audit"
            columns={["time", "who", "from", "what", "target", "result"]}
            count={list.length}
            rowHeight={narrow.value ? 48 : 32}
            keyOf={(i) => list[i]?.id ?? i}
            cells={(i) => <Cells e={list[i]!} />}
            onNearEnd={() => void t.more()}
            onRow={(i) => {
              setQuery({ entry: list[i]!.id });
              announce(`entry ${list[i]!.id} opened`);
            }}
            selected={(i) => list[i] === opened}
          />
          {t.over && !list.length && <Empty>{q ? "No entry is like that, back to the first one." : "Nothing was changed yet. Every change over the API or the command line is written here."}</Empty>}
        </section>
        {opened && <Opened e={opened} close={close} />}
      </div>
    </>
  );
}
