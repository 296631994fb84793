// The audit trail: every change that was asked for, by whom, and what came of it; newest first, as far back as it goes.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { get, problemOf } from "../lib/api";
import { ofDetails } from "../lib/changes";
import { count, stamp, when } from "../lib/format";
import { usePageKeys } from "../lib/keys";
import { param, setQuery } from "../lib/route";
import { narrow } from "../lib/screen";
import { now } from "../lib/time";
import type { AuditEntry, Problem } from "../lib/types";
import { Ago, announce, Empty, State, Trouble, type Tone } from "../ui/bits";
import { Changes } from "../ui/changes";
import { Rows } from "../ui/rows";

const PAGE = 500;

// "POST /v1/apps/feedback/scale (dry run)" in parts.
function partsOf(what: string): { verb: string; path: string; dry: boolean } {
  const dry = what.endsWith(" (dry run)");
  const [verb = "", ...path] = (dry ? what.slice(0, -10) : what).split(" ");
  return { verb, path: path.join(" "), dry };
}

const toneOf = (e: AuditEntry): Tone => (e.result === "ok" ? "good" : "bad");
// "token:ci" came over TCP with a token; "unix:1000" over the socket on the machine itself.
function whence(who: string): { name: string; from: string } {
  const at = who.indexOf(":");
  const kind = who.slice(0, at);
  if (kind === "unix") return { name: who.slice(at + 1) === "0" ? "root" : `user ${who.slice(at + 1)}`, from: "the socket" };
  if (kind === "token") return { name: who.slice(at + 1), from: "a token" };
  return { name: who, from: at < 0 ? "–" : kind };
}

function Cells({ e }: { e: AuditEntry }) {
  const { verb, path, dry } = partsOf(e.what);
  const { name, from } = whence(e.who);
  return (
    <>
      <span role="cell" class="dim num when" title={stamp(e.ts_ms)}>
        {when(e.ts_ms, now.value)}
      </span>
      <span role="cell" class="who">
        {name}
      </span>
      <span role="cell" class="dim">
        {from}
      </span>
      <span role="cell" class="mono" title={e.what}>
        {verb} {path}
        {dry && <span class="dim"> only tried</span>}
      </span>
      <span role="cell">{e.target}</span>
      <span role="cell">
        <State tone={toneOf(e)}>{e.result}</State>
      </span>
    </>
  );
}

function Entry({ e, close }: { e: AuditEntry; close: () => void }) {
  const { name, from } = whence(e.who);
  const details = ofDetails(e.details);
  return (
    <aside
      class="card line"
      aria-labelledby="entry-title"
      onKeyDown={(k) => {
        if (k.key !== "Escape") return;
        k.stopPropagation();
        close();
      }}
    >
      <header>
        <h2 id="entry-title">Entry {e.id}</h2>
        <button type="button" class="quiet small" onClick={close}>
          Close
        </button>
      </header>
      <p>
        <State tone={toneOf(e)}>{e.result === "ok" ? "done" : `refused: ${e.result}`}</State> <Ago ms={e.ts_ms} /> <span class="dim">({stamp(e.ts_ms)})</span>
      </p>
      <table class="members" aria-label="The entry">
        <tbody>
          <tr>
            <th scope="row">who</th>
            <td>{name}</td>
          </tr>
          <tr>
            <th scope="row">from</th>
            <td>{from}</td>
          </tr>
          <tr>
            <th scope="row">what</th>
            <td>{e.what}</td>
          </tr>
          <tr>
            <th scope="row">target</th>
            <td>{e.target || "–"}</td>
          </tr>
        </tbody>
      </table>
      <h3>Details</h3>
      {details.length ? <Changes of={details} label="Details" /> : <p class="hint">The trail holds nothing more about it.</p>}
      {e.result !== "ok" && (
        <p class="hint">
          <code>headgate help {e.result}</code> explains it.
        </p>
      )}
    </aside>
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
        <input type="search" data-search placeholder="filter" aria-label="Filter the audit trail" value={param("q")} onInput={(e) => setQuery({ q: e.currentTarget.value })} />
      </header>
      {t.problem && <Trouble problem={t.problem} again={t.again} />}
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
        {opened && <Entry e={opened} close={close} />}
      </div>
    </>
  );
}
