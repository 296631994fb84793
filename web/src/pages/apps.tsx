// Apps and their replicas: a block a replica; one app on a page of its own, with its releases.
import { bytes, count, number } from "../lib/format";
import { appList, known } from "../lib/live";
import { href, param, place } from "../lib/route";
import type { App, Replica } from "../lib/types";
import { Columns, Empty, Figure, Num, SIGN, State, toneOfPhase, type Tone } from "../ui/bits";
import { SearchBox } from "../ui/links";
import { AppPage } from "./app";
import { Releases } from "./app_releases";

export function toneOfReplica(r: Replica): Tone {
  if (r.state === "ready") return r.crash_loop ? "warn" : "good";
  if (r.crash_loop || r.state === "backoff" || r.state === "failed") return "bad";
  return r.state === "starting" || r.state === "started" ? "busy" : "warn";
}

export const wordOfReplica = (r: Replica) => (r.state === "backoff" ? "waits to be started again" : r.state.replaceAll("_", " "));

const BLOCKS = 60;

// Of more than can be shown those come first that are not well.
export const shown = (list: Replica[], most: number) =>
  list.length > most ? [...list].sort((a, b) => Number(toneOfReplica(a) === "good") - Number(toneOfReplica(b) === "good")).slice(0, most) : list;

// What each replica is, at one look: its sign and number, its words for who asks.
export function Blocks({ app, large = false }: { app: App; large?: boolean }) {
  const list = app.replicas ?? [];
  return (
    <ul class={`blocks ${large ? "large" : ""}`} aria-label={`Replicas of ${app.name}`}>
      {shown(list, BLOCKS).map((r) => {
        const tone = toneOfReplica(r);
        const text = `replica ${r.replica} of release ${r.release}: ${wordOfReplica(r)}${r.reason ? `, ${r.reason}` : ""}`;
        return (
          <li key={`${r.release} ${r.replica}`} class={tone} title={text} data-replica={r.replica} data-state={r.state}>
            <span aria-hidden="true">
              {SIGN[tone]}
              {large && ` ${r.replica}`}
            </span>
            <span class="hidden">{text}</span>
            {large && (
              <small aria-hidden="true">
                {r.state === "ready" ? `release ${r.release}` : wordOfReplica(r)}
              </small>
            )}
          </li>
        );
      })}
      {list.length > BLOCKS && <li class="plain">+{count(list.length - BLOCKS)}</li>}
    </ul>
  );
}

const sum = (app: App, of: (r: Replica) => number) => (app.replicas ?? []).reduce((total, r) => total + of(r), 0);

function Row({ app }: { app: App }) {
  return (
    <tr data-row tabIndex={-1} data-app={app.name}>
      <th scope="row">
        <a href={href(["apps", app.name])} data-open>
          {app.name}
        </a>
      </th>
      <td data-label="state">
        <State tone={toneOfPhase(app.phase)} title={app.reason}>
          {app.phase}
        </State>
        {app.maintenance && <State tone="warn">maintenance</State>}
      </td>
      <td data-label="replicas">
        <span class="num">
          {app.ready}/{app.desired}
        </span>{" "}
        <Blocks app={app} />
      </td>
      <Num name="restarts" dim={!app.restarts}>
        {count(app.restarts)}
      </Num>
      <Num name="CPU">
        {number(sum(app, (r) => r.cpu), 2)}
      </Num>
      <Num name="memory">
        {bytes(sum(app, (r) => r.memory_bytes))}
      </Num>
      <Num name="in flight">
        {count(sum(app, (r) => r.in_flight))}
      </Num>
      <Num name="release">
        <a href={href(["apps", app.name, "releases"])}>{app.version || app.release}</a>
      </Num>
    </tr>
  );
}

export const AT_ONCE = 200;

function List() {
  const filter = param("q").toLowerCase();
  const every = appList.value;
  const list = every.filter((a) => !filter || `${a.name} ${a.phase} ${a.version} ${a.routes.join(" ")}`.toLowerCase().includes(filter));
  const rows = param("all") ? list : list.slice(0, AT_ONCE);
  const replicas = every.reduce((n, a) => n + a.total, 0);
  const ready = every.reduce((n, a) => n + a.ready, 0);
  return (
    <>
      <header class="head">
        <h1>Apps</h1>
        <dl class="figures">
          <Figure name="apps">{every.length}</Figure>
          <Figure name="replicas ready" tone={ready < replicas ? "bad" : "good"}>
            {count(ready)}/{count(replicas)}
          </Figure>
          <Figure name="CPU cores">{number(every.reduce((n, a) => n + sum(a, (r) => r.cpu), 0), 2)}</Figure>
          <Figure name="memory">{bytes(every.reduce((n, a) => n + sum(a, (r) => r.memory_bytes), 0))}</Figure>
        </dl>
        <SearchBox label="Filter apps" />
      </header>
      <section class="card">
        {rows.length > 0 && (
          <table class="rows stack">
            <caption class="hidden">Apps and their replicas</caption>
            <Columns of={["app", "state", "replicas", "#restarts", "#CPU cores", "#memory", "#in flight", "#release"]} />
            <tbody>
              {rows.map((a) => (
                <Row key={a.name} app={a} />
              ))}
            </tbody>
          </table>
        )}
        {rows.length === 0 && <Empty>{!known.value ? "Waiting for the first state …" : filter ? "No app like that." : "No app is configured."}</Empty>}
        {rows.length < list.length && <a href={href(["apps"], { all: "1", q: param("q") })}>show all {list.length}</a>}
      </section>
    </>
  );
}

export function Apps() {
  const [, name, part] = place.value.path;
  if (!name) return <List />;
  return part === "releases" ? <Releases name={name} key={name} /> : <AppPage name={name} key={name} />;
}
