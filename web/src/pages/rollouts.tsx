// Releases: every rollout there was, newest first; one of them, live, on a page of its own.
import { causeText } from "../lib/events";
import { ago, duration, ratio, stamp } from "../lib/format";
import { appList } from "../lib/live";
import { useGet, useTold } from "../lib/resource";
import { go, href, param, place } from "../lib/route";
import { narrow } from "../lib/screen";
import { now } from "../lib/time";
import type { RolloutLine } from "../lib/types";
import { Empty, Failed, State, type Tone } from "../ui/bits";
import { AppChoice, SearchBox } from "../ui/links";
import { Rows } from "../ui/rows";
import { RolloutPage } from "./rollout";

export function toneOfRollout(r: { state: string; outcome: string; phase: string }): Tone {
  if (r.outcome === "promoted") return "good";
  if (r.outcome === "rolled_back") return "bad";
  if (r.outcome) return "plain";
  if (r.phase === "back") return "bad";
  return r.state === "paused" || r.state === "waiting" || r.phase === "hold" ? "warn" : "busy";
}

export function wordOfRollout(r: { state: string; outcome: string; phase: string }): string {
  if (r.outcome) return r.outcome.replaceAll("_", " ");
  return r.state === "running" ? (r.phase === "back" ? "going back" : r.phase === "watch" ? "watched" : "running") : r.state;
}

const weightOf = (r: RolloutLine) => (typeof r.weight === "number" ? r.weight : r.weight.set);

function Cells({ r }: { r: RolloutLine }) {
  return (
    <>
      <span role="cell">
        <a href={href(["rollouts", String(r.id)])} data-open>
          {r.id}
        </a>
      </span>
      <span role="cell">{r.app}</span>
      <span role="cell">
        {r.old.version} → <b>{r.new.version}</b>
      </span>
      <span role="cell">
        <State tone={toneOfRollout(r)}>
          {wordOfRollout(r)}
          {!r.outcome && ` at ${ratio(weightOf(r))}`}
        </State>
      </span>
      <span role="cell" class="dim why" title={r.why}>
        {r.outcome === "rolled_back" ? `${causeText(r.cause)}: ${r.why}` : r.why}
      </span>
      <span role="cell" class="num dim" title={stamp(r.created_ms)}>
        {ago(r.created_ms, now.value)}
      </span>
      <span role="cell" class="num dim">
        {duration((r.ended_ms || now.value) - r.created_ms)}
      </span>
    </>
  );
}

function List() {
  const app = param("app");
  const filter = param("q").toLowerCase();
  // Asked again when the journal says that a rollout began, moved or ended.
  const asked = useGet<{ rollouts: RolloutLine[] }>(`/v1/rollouts?limit=1000${app ? `&app=${encodeURIComponent(app)}` : ""}`, useTold(/^rollout\./));
  const list = (asked.data?.rollouts ?? []).filter(
    (r) => !filter || `${r.app} ${r.old.version} ${r.new.version} ${r.outcome} ${r.state} ${r.why} ${r.strategy}`.toLowerCase().includes(filter),
  );
  return (
    <>
      <header class="head">
        <h1>Releases</h1>
        <AppChoice names={appList.value.map((a) => a.name)} />
        <SearchBox label="Filter rollouts" />
      </header>
      <Failed of={asked} />
      <section class="card whole">
        <Rows
          label="Rollouts"
          className="rollouts"
          columns={["rollout", "app", "version", "state", "why", "#started", "#took"]}
          count={list.length}
          rowHeight={narrow.value ? 52 : 34}
          keyOf={(i) => list[i]?.id ?? i}
          cells={(i) => <Cells r={list[i]!} />}
          onRow={(i) => go(["rollouts", String(list[i]!.id)])}
        />
        {!asked.loading && !list.length && <Empty>No rollout yet. headgate deploy APP --version V makes one.</Empty>}
      </section>
    </>
  );
}

export function Rollouts() {
  const id = place.value.path[1];
  return id && /^\d+$/.test(id) ? <RolloutPage id={id} key={id} /> : <List />;
}
