// Incidents: those that are open first, by how urgent they are; one of them on a page of its own.
import { duration, person } from "../lib/format";
import { counts } from "../lib/live";
import { useGet, useTold, useTurn } from "../lib/resource";
import { href, param, place } from "../lib/route";
import { now } from "../lib/time";
import type { Incident } from "../lib/types_ops";
import { Ago, Columns, Empty, Failed, Figure, Num, State, type Tone } from "../ui/bits";
import { AppChoice, SearchBox } from "../ui/links";
import { IncidentPage } from "./incident";

export const toneOfIncident = (i: Incident): Tone => (i.state === "resolved" ? "good" : i.state === "acknowledged" ? "busy" : "bad");

// Only one that nobody has taken can be late.
export function dueText(i: Incident, at: number): { text: string; late: boolean } {
  if (i.state !== "open") return { text: i.acknowledged_ms ? `taken after ${duration(i.acknowledged_ms - i.opened_ms)}` : "–", late: false };
  const due = i.opened_ms + i.response_s * 1000;
  return due > at ? { text: `within ${duration(due - at)}`, late: false } : { text: `late by ${duration(at - due)}`, late: true };
}

export function inOrder(list: Incident[]): Incident[] {
  const rank = (i: Incident) => (i.state === "resolved" ? 2 : i.state === "acknowledged" ? 1 : 0);
  return [...list].sort((a, b) => {
    if (rank(a) !== rank(b)) return rank(a) - rank(b);
    if (a.state === "resolved") return b.id - a.id;
    return a.priority < b.priority ? -1 : a.priority > b.priority ? 1 : a.opened_ms + a.response_s * 1000 - b.opened_ms - b.response_s * 1000;
  });
}

function Row({ i }: { i: Incident }) {
  const due = dueText(i, now.value);
  return (
    <tr data-row tabIndex={-1} data-incident={i.id} class={i.state === "resolved" ? "dim" : ""}>
      <th scope="row">
        <a href={href(["incidents", String(i.id)])} data-open>
          {i.id}
        </a>
      </th>
      <td data-label="priority">
        <b class={i.state !== "resolved" && i.priority === "P1" ? "bad" : ""}>{i.priority}</b>
      </td>
      <td data-label="state">
        <State tone={toneOfIncident(i)}>{i.state}</State>
      </td>
      <td class="long">{i.title}</td>
      <td data-label="app">{i.app || "–"}</td>
      <td data-label="who">{person(i.assignee) || "–"}</td>
      <Num name="opened">
        <Ago ms={i.opened_ms} />
      </Num>
      <Num name="taken">
        {due.late ? <State tone="bad">{due.text}</State> : due.text}
      </Num>
    </tr>
  );
}

const AT_ONCE = 100;
const MOST = 1000;

function List() {
  const turn = useTurn(30_000);
  const more = param("all") !== "";
  const asked = useGet<{ incidents: Incident[] }>(`/v1/incidents?limit=${more ? MOST : AT_ONCE}`, turn, useTold(/^incident\./), counts.value.incidents_open);
  const all = asked.data?.incidents ?? [];
  const app = param("app");
  const filter = param("q").toLowerCase();
  const list = inOrder(all.filter((i) => (!app || i.app === app) && (!filter || `${i.id} ${i.title} ${i.app} ${i.priority} ${i.state} ${i.assignee}`.toLowerCase().includes(filter))));
  const open = all.filter((i) => i.state !== "resolved");
  const late = open.filter((i) => dueText(i, now.value).late).length;
  return (
    <>
      <header class="head">
        <h1>Incidents</h1>
        <dl class="figures">
          <Figure name="not resolved" tone={open.length ? "bad" : "good"}>
            {open.length}
          </Figure>
          <Figure name="nobody has taken" tone={open.some((i) => i.state === "open") ? "bad" : undefined}>
            {open.filter((i) => i.state === "open").length}
          </Figure>
          {late > 0 && (
            <Figure name="late" tone="bad">
              {late}
            </Figure>
          )}
        </dl>
        <AppChoice names={[...new Set(all.map((i) => i.app).filter(Boolean))].sort()} />
        <SearchBox label="Filter incidents" />
      </header>
      <Failed of={asked} />
      <section class="card">
        {list.length > 0 && (
          <table class="rows stack incidents">
            <caption class="hidden">Incidents, those that are open first</caption>
            <Columns of={["nr", "priority", "state", "what", "app", "who has it", "#opened", "#to be taken"]} />
            <tbody>
              {list.map((i) => (
                <Row key={i.id} i={i} />
              ))}
            </tbody>
          </table>
        )}
        {!asked.data && asked.loading && <Empty>Reading the incidents …</Empty>}
        {asked.data && !list.length && (
          <Empty>{filter || app ? "No incident like that." : "No incident. One is opened by a budget that burns too fast, a release that was taken back, or a critical alert."}</Empty>
        )}
        {!more && all.length >= AT_ONCE && (
          <p>
            <a href={href(["incidents"], { all: "1", app, q: param("q") })}>older ones too</a>
          </p>
        )}
      </section>
    </>
  );
}

export function Incidents() {
  const id = place.value.path[1];
  return id ? <IncidentPage id={id} key={id} /> : <List />;
}
