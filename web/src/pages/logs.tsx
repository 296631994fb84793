// Logs: the lines of all replicas, searched by the store, as many as are wished for, and what comes now.
import { useSignal, type Signal } from "@preact/signals";
import type { ComponentChildren, VNode } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Feed, MOST_LINES, type Ask } from "../lib/feed";
import { bytes, count } from "../lib/format";
import { usePageKeys } from "../lib/keys";
import { said, timeOfLine, toneOfLevel } from "../lib/logtext";
import { param, setQuery } from "../lib/route";
import { narrow } from "../lib/screen";
import { from, live, serverNow, timeOf, to } from "../lib/time";
import type { LogLine } from "../lib/types";
import { announce, Empty, State, Trouble } from "../ui/bits";
import { Rows } from "../ui/rows";
import { Filters } from "./logs_filters";
import { closeLine, focusList, LinePanel } from "./logs_line";
import { Volume } from "./logs_volume";

const PAGE = 20_000; // older lines, when the oldest one is in view
const SETTLE_MS = 250; // what is typed is asked for when typing rests
const CACHED = 600;

// What the address asks of the store. A text without capitals is found in any case, as in most editors.
export function askOf(): Ask {
  const ask: Ask = {};
  for (const key of ["app", "level", "release", "replica", "stream"]) if (param(key)) ask[key] = param(key);
  const text = param("q");
  if (text) {
    ask.grep = text;
    if (text === text.toLowerCase()) ask.ignore_case = "1";
  }
  return ask;
}

function span(): Ask {
  const at = serverNow();
  const ask: Ask = { since: String(timeOf(from.value, at)) };
  if (!live.value) ask.until = String(timeOf(to.value, at));
  return ask;
}

// One feed for one question; the question changes once typing rests.
function useFeed(): { feed: Feed | null; asked: string } {
  const wanted = JSON.stringify([askOf(), from.value, to.value]);
  const asked = useSignal(wanted);
  const feed = useSignal<Feed | null>(null);
  useEffect(() => {
    const wait = setTimeout(() => (asked.value = wanted), SETTLE_MS);
    return () => clearTimeout(wait);
  }, [wanted]);
  useEffect(() => {
    const made = new Feed({ ...askOf(), ...span() }, live.value);
    feed.value = made;
    return () => made.stop();
  }, [asked.value]);
  return { feed: feed.value, asked: asked.value };
}

// A text with what was looked for marked in it.
function marked(text: string, q: string): ComponentChildren {
  const fold = q === q.toLowerCase();
  const where = fold ? text.toLowerCase() : text;
  const parts: ComponentChildren[] = [];
  let at = 0;
  for (let hit = q ? where.indexOf(q) : -1; hit >= 0 && parts.length < 20; hit = where.indexOf(q, at)) {
    parts.push(text.slice(at, hit), <mark>{text.slice(hit, hit + q.length)}</mark>);
    at = hit + q.length;
  }
  if (!parts.length) return text;
  parts.push(text.slice(at));
  return parts;
}

// No screen shows more of a line than this; the whole is in its panel.
const cut = (text: string) => (text.length > 600 ? `${text.slice(0, 600)}…` : text);

function Cells({ line, q }: { line: LogLine; q: string }) {
  const s = said(line.text);
  return (
    <>
      <span role="cell" class="dim when">
        {timeOfLine(line)}
      </span>
      <span role="cell">
        <State tone={toneOfLevel(line.level)}>{line.level}</State>
      </span>
      <span role="cell" class="app">
        {line.app}
      </span>
      <span role="cell" class="dim where">
        {line.release ? `r${line.release} / ${line.replica}` : ""}
      </span>
      <span role="cell" class="text">
        {marked(cut(s.message), q)}
        {s.rest && <span class="dim"> {marked(cut(s.rest), q)}</span>}
      </span>
    </>
  );
}

// Rows that are drawn again and again while lines come are parsed once.
function useCells(feed: Feed | null, q: string): { cells: (i: number) => VNode; lineAt: (i: number) => LogLine | null } {
  const kept = useMemo(() => new Map<number, { line: LogLine | null; cells: VNode }>(), [feed, q]);
  const take = (i: number) => {
    const key = feed!.keyAt(i);
    let one = kept.get(key);
    if (!one) {
      if (kept.size > CACHED) kept.clear();
      const line = feed!.at(i);
      one = { line, cells: line ? <Cells line={line} q={q} /> : <span role="cell" class="dim">a line that cannot be read</span> };
      kept.set(key, one);
    }
    return one;
  };
  return { cells: (i) => take(i).cells, lineAt: (i) => take(i).line };
}

function Standing({ feed, follow, setFollow }: { feed: Feed; follow: boolean; setFollow: (on: boolean) => void }) {
  const tail = feed.tail.value;
  return (
    <p class="standing">
      <span data-lines={feed.count}>
        {count(feed.count)} {feed.count === 1 ? "line" : "lines"}
        <span class="dim"> in {bytes(feed.bytes)}</span>
      </span>
      {feed.loading.value && <State tone="busy">loading</State>}
      {live.value && (
        <State tone={tail === "lost" ? "warn" : follow && tail === "live" ? "good" : "plain"}>
          {tail === "lost" ? "the stream broke, trying again" : tail === "off" ? "not following yet" : follow ? "following" : "paused"}
        </State>
      )}
      {feed.full && (
        <State tone="warn" title="What a page can hold without slowing the browser down">
          the most that is held ({count(MOST_LINES)} lines); older ones are in the store: narrow the time or the filters
        </State>
      )}
      <span class="space" />
      {feed.more && !feed.full && !feed.loading.value && (
        <button type="button" class="small" onClick={() => void feed.older(MOST_LINES)}>
          Load all of this time
        </button>
      )}
      {live.value && (
        <button type="button" class="small" aria-pressed={follow} onClick={() => setFollow(!follow)}>
          {follow ? "Pause" : "Follow"}
        </button>
      )}
    </p>
  );
}

const FILTERS = ["q", "app", "level", "release", "replica"];

interface Jump {
  row: number;
}

// All that changes with every frame while lines come; what is beside it is not drawn again.
function Lines({ feed, follow, jump }: { feed: Feed; follow: Signal<boolean>; jump: Signal<Jump | null> }) {
  const followed = useRef(true);
  const seen = useRef(0); // of the lines that came, when following ended
  const q = param("q");
  const { cells, lineAt } = useCells(feed, q);
  const opened = param("line");
  void feed.turn.value;

  if (followed.current && !follow.value) seen.current = feed.came;
  followed.current = follow.value;
  const setFollow = (on: boolean) => {
    if (follow.peek() !== on) follow.value = on;
  };
  usePageKeys([
    { keys: "f", what: "follow new lines, or pause", act: () => setFollow(!follow.peek()) },
    { keys: "x", what: "close the opened line", act: closeLine },
  ]);
  const open = (i: number) => {
    const line = lineAt(i);
    if (!line) return;
    setFollow(false);
    setQuery({ line: line.cursor });
    announce(`line of ${line.app} opened`);
  };
  const toEnd = () => {
    setFollow(true);
    focusList(); // the button goes away
  };
  const waiting = live.value && !follow.value ? feed.came - seen.current : 0;
  return (
    <section class="card whole lines" aria-labelledby="lines-title">
      <h2 id="lines-title" class="hidden">
        Lines
      </h2>
      <Standing feed={feed} follow={follow.value} setFollow={setFollow} />
      {feed.problem.value && <Trouble problem={feed.problem.value} />}
      {feed.count > 0 && (
        <Rows
          label="Log lines, the newest last"
          className="loglist"
          columns={["time", "level", "app", "replica", "text"]}
          count={feed.count}
          ahead={feed.ahead}
          rowHeight={narrow.value ? 44 : 22}
          follow={follow.value}
          onFollow={setFollow}
          onNearStart={() => !follow.peek() && void feed.older(PAGE)}
          keyOf={(i) => feed.keyAt(i)}
          rowClass={(i) => lineAt(i)?.level ?? ""}
          selected={(i) => lineAt(i)?.cursor === opened}
          cells={cells}
          onRow={open}
          jump={jump.value}
        />
      )}
      {feed.count === 0 && !feed.loading.value && !feed.problem.value && (
        <Empty>
          {FILTERS.some((name) => param(name))
            ? "No line in this time is like that. A longer time, or fewer filters, may find some."
            : "No line in this time. What replicas write to stdout and stderr appears here."}
        </Empty>
      )}
      {waiting > 0 && (
        <button type="button" class="primary waiting" data-waiting={waiting} onClick={toEnd}>
          ↓ {count(waiting)} new {waiting === 1 ? "line" : "lines"}
        </button>
      )}
    </section>
  );
}

export function Logs() {
  const { feed, asked } = useFeed();
  const follow = useSignal(true);
  const jump = useSignal<Jump | null>(null);
  const opened = param("line");
  useEffect(() => {
    follow.value = true;
    jump.value = null;
  }, [feed]);
  const goTo = (startMs: number, endMs: number) => {
    const row = feed?.rowAt(startMs) ?? -1;
    if (row < 0) return setQuery({ from: startMs, to: endMs });
    follow.value = false;
    jump.value = { row };
  };
  return (
    <>
      <header class="head">
        <h1>Logs</h1>
        <Filters />
      </header>
      <Volume asked={asked} goTo={goTo} />
      <div class={`logs ${opened ? "opened" : ""}`}>
        {feed && <Lines feed={feed} follow={follow} jump={jump} />}
        {opened && <LinePanel cursor={opened} />}
      </div>
    </>
  );
}
