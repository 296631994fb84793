// One row an app: what serves, how well, what is left of its budget, what is being released. And what happened last.
import { useComputed, useSignal } from "@preact/signals";
import { columns } from "../lib/api";
import { remarkable, sentence, toneOfEvent } from "../lib/events";
import { budget, number, ratio, seconds } from "../lib/format";
import { useJournal } from "../lib/journal";
import { appList, beat, known, platform } from "../lib/live";
import { useResource } from "../lib/resource";
import { href, param } from "../lib/route";
import { now, serverNow } from "../lib/time";
import type { App, Column } from "../lib/types";
import { Bar, Columns, Empty, Entry, Figure, Num, Spark, State, toneOfPhase, type Tone } from "../ui/bits";
import { AppChoice, Pick, SearchBox } from "../ui/links";

const SPARK_MS = 3_600_000;
const SPARK_STEP_MS = 60_000;
const P95 = "histogram_quantile(0.95, sum by (app, le) (rate(headgate_request_duration_seconds_bucket[2m])))";

// P95 of the last hour, of all apps in one question, once a minute.
function useSparks(): Map<string, Column> {
  const minute = useComputed(() => (beat.value, Math.floor(now.value / SPARK_STEP_MS)));
  const asked = useResource(
    (signal) => {
      const end = Math.floor(serverNow() / SPARK_STEP_MS) * SPARK_STEP_MS;
      return columns({ queries: [P95], startMs: end - SPARK_MS, endMs: end, stepMs: SPARK_STEP_MS }, signal);
    },
    [minute.value],
  );
  const map = new Map<string, Column>();
  for (const s of asked.data?.results[0]?.series ?? []) map.set(s.labels.app ?? "", s.values);
  return map;
}

export function rolloutTone(r: NonNullable<App["rollout"]>): Tone {
  if (r.verdict === "bad" || r.phase === "back") return "bad";
  return r.state === "paused" || r.state === "waiting" || r.phase === "hold" ? "warn" : "busy";
}

// What needs somebody comes first, whatever its name: there may be hundreds.
const troubled = (a: App) => toneOfPhase(a.phase) === "bad" || a.slo.some((s) => s.burning) || (!!a.rollout && rolloutTone(a.rollout) === "bad");

function Budget({ app }: { app: App }) {
  const worst = [...app.slo].sort((a, b) => a.left - b.left)[0];
  if (!worst) return <span class="dim">–</span>;
  const tone: Tone = worst.left <= 0 ? "bad" : worst.burning || worst.left < 0.25 ? "warn" : "good";
  return (
    <a class="budget plain" href={href(["slo"], { app: app.name })}>
      <Bar share={worst.left} tone={tone} label={`${worst.name}: ${budget(worst.left)}${worst.left >= 0 ? " of the error budget is left" : ""}`} />
      <span class="num">{budget(worst.left)}</span>
      {worst.burning && <State tone="warn">burns</State>}
    </a>
  );
}

function Row({ app, spark }: { app: App; spark?: Column }) {
  const r = app.rollout;
  return (
    <tr data-row tabIndex={-1}>
      <th scope="row">
        <a href={href(["apps", app.name])} data-open>
          {app.name}
        </a>
        {app.maintenance && <State tone="warn">maintenance</State>}
      </th>
      <td data-label="version">{app.version}</td>
      <td data-label="ready">
        <State tone={toneOfPhase(app.phase)} title={app.reason || app.phase}>
          {app.ready}/{app.desired}
          {app.phase !== "running" && <span class="word"> {app.phase}</span>}
        </State>
      </td>
      <Num name="rate">
        {number(app.rate)}/s
      </Num>
      <td data-label="errors" class={`num ${app.error_ratio && app.error_ratio > 0.01 ? "bad" : ""}`}>
        {ratio(app.error_ratio)}
      </td>
      <td data-label="p95" class="p95">
        <Spark values={spark ?? []} label={`p95 of the last hour, now ${seconds(app.p95_seconds)}`} />
        <span class="num">{seconds(app.p95_seconds)}</span>
      </td>
      <td data-label="budget">
        <Budget app={app} />
      </td>
      <td data-label="rollout">
        {r ? (
          <a href={href(["rollouts", String(r.id)])} title={r.why}>
            <State tone={rolloutTone(r)}>
              {r.new_version} at {ratio(r.weight_set)}
              {r.steps > 0 && (
                <span class="dim">
                  {" "}
                  step {r.step}/{r.steps}
                </span>
              )}
            </State>
          </a>
        ) : (
          <span class="dim">–</span>
        )}
      </td>
    </tr>
  );
}

const KINDS: [string, string, RegExp][] = [
  ["rollouts", "rollouts and releases", /^(rollout|release)\./],
  ["replicas", "replicas", /^replica\./],
  ["alerts", "alerts, incidents, budgets", /^(alert|incident|slo)\./],
  ["changes", "apps and configuration", /^(app|config)\./],
  ["headgate", "Headgate itself", /^(?!(rollout|release|replica|alert|incident|slo|app|config)\.)/],
];

// Of one kind all entries are shown, else those that matter; both filters are in the address.
function Ribbon() {
  const [app, kind] = [param("app"), param("kind")];
  const found = KINDS.find(([name]) => name === kind);
  const list = useJournal(app, !!(app || found));
  const shown = list.filter((e) => (found ? found[2].test(e.kind) : remarkable(e))).slice(0, app || found ? 100 : 14);
  return (
    <section class="card ribbon" aria-labelledby="ribbon-title">
      <header class="head">
        <h2 id="ribbon-title">What happened</h2>
        <Pick name="kind" label="Kind of entries" options={[["", "all that matters"], ...KINDS.map(([name, text]): [string, string] => [name, text])]} />
        <AppChoice names={appList.value.map((a) => a.name)} />
      </header>
      {shown.length === 0 && (
        <Empty>
          {app || found ? "Nothing like that in the last 1,000 entries. " : "Nothing yet."}
          {(app || found) && <a href={href(["overview"], { q: param("q") })}>Show all</a>}
        </Empty>
      )}
      <ol>
        {shown.map((e) => (
          <Entry key={e.id} data-event={e.id} ms={e.ts_ms} tone={toneOfEvent(e)}>
            {sentence(e)}
          </Entry>
        ))}
      </ol>
    </section>
  );
}

function Head() {
  const list = appList.value;
  const rate = list.reduce((sum, a) => sum + a.rate, 0);
  const errors = list.reduce((sum, a) => sum + a.rate * (a.error_ratio ?? 0), 0);
  const ready = list.filter((a) => a.ready >= a.desired).length;
  const busy = list.filter((a) => a.rollout).length;
  const certificate = platform.value?.certificates;
  return (
    <dl class="figures">
      <Figure name="apps ready" tone={ready < list.length ? "bad" : "good"}>
        {ready}/{list.length}
      </Figure>
      <Figure name="requests">{number(rate)}/s</Figure>
      <Figure name="errors" tone={rate && errors / rate > 0.01 ? "bad" : undefined}>
        {rate ? ratio(errors / rate) : "–"}
      </Figure>
      <Figure name="rollouts">{busy}</Figure>
      {certificate?.text && (
        <Figure name="certificate" tone="warn" title={certificate.text}>
          {certificate.host ?? "see"}
        </Figure>
      )}
    </dl>
  );
}

const ROWS_AT_ONCE = 200;

export function Overview() {
  const sparks = useSparks();
  const all = useSignal(false);
  const filter = param("q").toLowerCase();
  const list = [...appList.value].sort((a, b) => Number(troubled(b)) - Number(troubled(a))).filter((a) => !filter || a.name.toLowerCase().includes(filter) || a.phase.includes(filter));
  const rows = all.value ? list : list.slice(0, ROWS_AT_ONCE);
  return (
    <>
      <header class="head">
        <h1>Overview</h1>
        <Head />
        <SearchBox label="Filter apps" hint="filter apps" />
      </header>
      <section class="card">
        <table class="rows stack apps">
          <caption class="hidden">Apps</caption>
          <Columns of={["app", "version", "ready", "#rate", "#errors", "p95, last hour", "error budget", "rollout"]} />
          <tbody>
            {rows.map((app) => (
              <Row key={app.name} app={app} spark={sparks.get(app.name)} />
            ))}
          </tbody>
        </table>
        {known.value && list.length === 0 && <Empty>{filter ? "No app of that name." : "No app is configured."}</Empty>}
        {!known.value && <Empty>Waiting for the first state …</Empty>}
        {rows.length < list.length && (
          <button type="button" class="quiet" onClick={() => (all.value = true)}>
            show all {list.length}
          </button>
        )}
      </section>
      <Ribbon />
    </>
  );
}
