// Objectives: what is left of each budget, how fast it burns, and what spent it.
import { budget, duration, nines, ratio } from "../lib/format";
import { appList } from "../lib/live";
import { useGet, useTold, useTurn } from "../lib/resource";
import { href, param } from "../lib/route";
import type { Objective } from "../lib/types_ops";
import { Bar, Columns, Empty, Failed, Figure, Num, State, type Tone } from "../ui/bits";
import { AppChoice, SearchBox } from "../ui/links";
import { ObjectiveCard } from "./slo_card";

const CARDS_WITHOUT_CHOICE = 2;
const LITTLE = 0.25; // of the budget
const RANK: Record<Tone, number> = { bad: 0, warn: 1, busy: 2, good: 3, plain: 4 };

export function toneOfObjective(o: Objective): Tone {
  if (o.budget.left <= 0 || o.alerts.some((a) => a.severity === "critical")) return "bad";
  return o.alerts.length || o.frozen || o.budget.left < LITTLE ? "warn" : "good";
}

export function wordOfObjective(o: Objective): string {
  if (!o.total) return "nothing to count yet";
  const burns = o.alerts.length > 0;
  if (o.budget.left <= 0) return burns ? "used up, still burns" : "used up";
  return burns ? "burns too fast" : o.budget.left < LITTLE ? "kept, little left" : "kept";
}

// Once it is used up, what counts is by how much.
export const leftText = (o: Objective) => budget(o.budget.left);

export function exhaustedText(o: Objective): string {
  if (o.budget.left <= 0) return "used up";
  const s = o.budget.exhausted_in_s;
  return s === null ? "not at this rate" : `in ${duration(s * 1000)}`;
}

const burnOf = (o: Objective) => Math.max(0, ...o.rules.map((r) => Math.min(r.burn_long, r.burn_short) / r.limit));

function Row({ o }: { o: Objective }) {
  const tone = toneOfObjective(o);
  return (
    <tr data-row tabIndex={-1}>
      <th scope="row">
        <a href={href(["slo"], { app: o.app })} data-open>
          {o.app}
        </a>
      </th>
      <td data-label="objective">
        {o.slo} {nines(o.objective)} <span class="dim">of {o.window}</span>
      </td>
      <td data-label="state">
        <State tone={tone}>{wordOfObjective(o)}</State>
        {o.frozen && <State tone="warn">frozen</State>}
      </td>
      <Num name="kept">
        {nines(o.ratio)}
      </Num>
      <td data-label="left" class="budget">
        <Bar share={o.budget.left} tone={tone} label={`${leftText(o)} left of the error budget`} />
        <span class="num">{leftText(o)}</span>
      </td>
      <Num name="burn" title="the rule that is nearest to its limit: how near it is">
        {ratio(burnOf(o))}
      </Num>
      <Num name="used up">
        {exhaustedText(o)}
      </Num>
    </tr>
  );
}

function List({ list }: { list: Objective[] }) {
  const worst = [...list].sort((a, b) => RANK[toneOfObjective(a)] - RANK[toneOfObjective(b)] || a.budget.left - b.budget.left);
  return (
    <section class="card">
      <table class="rows stack objectives">
        <caption class="hidden">Objectives, those in trouble first</caption>
        <Columns of={["app", "objective", "state", "#good answers", "budget left", "#burn, of its limit", "#used up"]} />
        <tbody>
          {worst.map((o) => (
            <Row key={`${o.app} ${o.slo}`} o={o} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Head({ all }: { all: Objective[] }) {
  const count = (tone: Tone) => all.filter((o) => toneOfObjective(o) === tone).length;
  const frozen = new Set(all.filter((o) => o.frozen).map((o) => o.app)).size;
  return (
    <dl class="figures">
      <Figure name="objectives">{all.length}</Figure>
      <Figure name="in trouble" tone={count("bad") ? "bad" : "good"}>
        {count("bad")}
      </Figure>
      <Figure name="at risk" tone={count("warn") ? "warn" : undefined}>
        {count("warn")}
      </Figure>
      <Figure name="apps frozen" tone={frozen ? "warn" : undefined}>
        {frozen}
      </Figure>
    </dl>
  );
}

export function Objectives() {
  const app = param("app");
  const filter = param("q").toLowerCase();
  const turn = useTurn(30_000);
  const asked = useGet<{ objectives: Objective[] }>("/v1/slo", turn, useTold(/^slo\./));
  const all = asked.data?.objectives ?? [];
  const names = [...new Set([...all.map((o) => o.app), ...appList.value.map((a) => a.name)])].sort();
  const list = all.filter((o) => (!app || o.app === app) && (!filter || `${o.app} ${o.slo} ${wordOfObjective(o)}`.includes(filter)));
  // Of all apps a table; of one, or where there are few, everything.
  const cards = app !== "" || all.length <= CARDS_WITHOUT_CHOICE;
  return (
    <>
      <header class="head">
        <h1>Objectives</h1>
        <AppChoice names={names} />
        {all.length > 1 && <Head all={all} />}
        {!cards && <SearchBox label="Filter objectives" />}
      </header>
      <Failed of={asked} />
      {!asked.data && asked.loading && <Empty>Reading the objectives …</Empty>}
      {list.length > 0 && (cards ? list.map((o) => <ObjectiveCard key={`${o.app} ${o.slo}`} o={o} />) : <List list={list} />)}
      {asked.data && list.length === 0 && (
        <Empty>
          {filter && !cards ? (
            "No objective of that name."
          ) : (
            <>
              {app ? `${app} has no objective. ` : "No app has an objective. "}
              Write <code>{"slo: {availability: {objective: 99.9%}}"}</code> in the app, and it has an error budget.
            </>
          )}
        </Empty>
      )}
    </>
  );
}
