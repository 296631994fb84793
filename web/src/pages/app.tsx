// One app: its replicas, what it answers, who asks for it, and the buttons for who may press them.
import { useComputed, useSignal } from "@preact/signals";
import { get, pathOf, post } from "../lib/api";
import { remarkable, runs, sentence, toneOfEvent } from "../lib/events";
import { budget, number, ratio, seconds } from "../lib/format";
import { usePageKeys } from "../lib/keys";
import { apps, events, known } from "../lib/live";
import { useResource } from "../lib/resource";
import { href } from "../lib/route";
import { may } from "../lib/session";
import type { App } from "../lib/types";
import type { AppAnswer } from "../lib/types_ops";
import { Empty, Entry, Figure, State, toneOfPhase, Trouble } from "../ui/bits";
import { Act, ask, type Change } from "../ui/confirm";
import { AppCharts } from "./app_charts";
import { Consumers } from "./app_consumers";
import { MaintenanceDialog, maintenanceOver } from "./app_maintenance";
import { Replicas } from "./app_replicas";
import { rolloutTone } from "./overview";

const NOTHING: Omit<App, "name"> = {
  release: 0,
  version: "",
  phase: "",
  reason: "",
  desired: 0,
  ready: 0,
  starting: 0,
  total: 0,
  restarts: 0,
  rate: 0,
  error_ratio: null,
  p95_seconds: null,
  maintenance: false,
  routes: [],
  slo: [],
  rollout: null,
};

// From the stream; asked for as long as the stream has not brought it.
export function useApp(name: string) {
  const fromStream = useComputed(() => apps.value.get(name));
  const asked = useResource((signal) => (known.value ? Promise.resolve(null) : get<AppAnswer>(pathOf(name), signal)), [name, known.value]);
  const app: App | undefined = fromStream.value ?? (asked.data ? { ...NOTHING, ...asked.data.app } : undefined);
  return { app, problem: asked.problem, again: asked.again };
}

const changes = {
  restart: (a: App): Change => ({
    title: `Restart ${a.name}?`,
    text: `Its ${a.desired} replicas are replaced one after the other by the same release; requests are answered meanwhile.`,
    verb: "Restart",
    done: `${a.name} is being restarted`,
    act: () => post(`${pathOf(a.name)}/restart`),
  }),
  scale: (a: App): Change => ({
    title: `How many replicas of ${a.name}?`,
    text: `${a.desired} now. What is set here holds until a reload changes the app's replicas in the file.`,
    verb: "Scale",
    done: `${a.name} is being scaled`,
    field: { label: "Replicas, 0 to 1000", required: true, value: String(a.desired) },
    act: async (text) => {
      if (!/^\d{1,4}$/.test(text)) throw new Error(`"${text}" is no number from 0 to 1000`);
      await post(`${pathOf(a.name)}/scale`, { replicas: Number(text) });
    },
  }),
};

function Buttons({ a, maintain }: { a: App; maintain: () => void }) {
  usePageKeys(
    may("deployer")
      ? [
          { keys: "x", what: "restart", act: () => ask(changes.restart(a)) },
          { keys: "s", what: "scale", act: () => ask(changes.scale(a)) },
          { keys: "m", what: a.maintenance ? "serve again" : "maintenance", act: () => (a.maintenance ? ask(maintenanceOver(a)) : maintain()) },
        ]
      : [],
  );
  return (
    <p class="buttons">
      <Act needs="deployer" change={() => changes.restart(a)}>
        Restart
      </Act>
      <Act needs="deployer" change={() => changes.scale(a)}>
        Scale
      </Act>
      {a.maintenance ? (
        <Act needs="deployer" kind="primary" change={() => maintenanceOver(a)}>
          Serve again
        </Act>
      ) : (
        may("deployer") && (
          <button type="button" class="danger" onClick={maintain}>
            Maintenance …
          </button>
        )
      )}
    </p>
  );
}

function Links({ a }: { a: App }) {
  return (
    <nav class="views" aria-label={`About ${a.name}`}>
      <a href={href(["apps", a.name, "releases"])}>Releases</a>
      <a href={href(["rollouts"], { app: a.name })}>Rollouts</a>
      <a href={href(["slo"], { app: a.name })}>Objectives</a>
      <a href={href(["logs"], { app: a.name })}>Logs</a>
      <a href={href(["incidents"], { app: a.name })}>Incidents</a>
    </nav>
  );
}

function Head({ a }: { a: App }) {
  const worst = [...a.slo].sort((x, y) => x.left - y.left)[0];
  return (
    <section class="card" aria-label="Now">
      <dl class="figures">
        <Figure name="replicas ready" tone={a.ready < a.desired ? "bad" : "good"}>
          {a.ready}/{a.desired}
        </Figure>
        <Figure name="requests">{number(a.rate)}/s</Figure>
        <Figure name="errors" tone={a.error_ratio && a.error_ratio > 0.01 ? "bad" : undefined}>
          {ratio(a.error_ratio)}
        </Figure>
        <Figure name="p95">{seconds(a.p95_seconds)}</Figure>
        <Figure name="restarts">{a.restarts}</Figure>
        {worst && (
          <Figure name={`budget of ${worst.name}`} tone={worst.left <= 0 ? "bad" : worst.burning ? "warn" : "good"}>
            {budget(worst.left)}
          </Figure>
        )}
        <Figure name="release">
          {a.version || a.release} {a.version && a.version !== String(a.release) && <span class="dim">nr {a.release}</span>}
        </Figure>
        {a.rollout && (
          <Figure name="rollout">
            <a href={href(["rollouts", String(a.rollout.id)])}>
              <State tone={rolloutTone(a.rollout)}>
                {a.rollout.new_version} at {ratio(a.rollout.weight_set)}
              </State>
            </a>
          </Figure>
        )}
      </dl>
      <p class="routes">
        <span class="dim">{a.routes.length ? "served at" : "served at no route"}</span>{" "}
        {a.routes.map((route) => (
          <code key={route}>{route}</code>
        ))}
      </p>
    </section>
  );
}

function Ribbon({ name }: { name: string }) {
  const list = useComputed(() => runs(events.value.filter((e) => e.app === name && remarkable(e)), sentence).slice(0, 12));
  if (!list.value.length) return null;
  return (
    <section class="card ribbon" aria-labelledby="ribbon-title">
      <h2 id="ribbon-title">What happened</h2>
      <ol>
        {list.value.map(({ item: e, n }) => (
          <Entry key={e.id} ms={e.ts_ms} tone={toneOfEvent(e)} n={n}>
            {sentence(e).replace(`${name}: `, "")}
          </Entry>
        ))}
      </ol>
    </section>
  );
}

export function AppPage({ name }: { name: string }) {
  const { app: a, problem, again } = useApp(name);
  const maintaining = useSignal(false);
  if (!a) {
    return (
      <>
        <h1>{name}</h1>
        {problem ? (
          <Trouble problem={problem} again={again} />
        ) : known.value ? (
          <Empty>
            There is no app {name}. <a href={href(["apps"])}>All apps</a>
          </Empty>
        ) : (
          <Empty>Waiting for the first state …</Empty>
        )}
      </>
    );
  }
  const limits = a.replicas?.[0]?.limits;
  return (
    <>
      <header class="head">
        <h1>{a.name}</h1>
        <State tone={toneOfPhase(a.phase)}>{a.phase}</State>
        {a.maintenance && <State tone="warn">maintenance: the edge answers 503</State>}
        <Links a={a} />
        <Buttons a={a} maintain={() => (maintaining.value = true)} />
      </header>
      {a.reason && (
        <section class={`verdict ${toneOfPhase(a.phase)}`}>
          <p class="what">{a.reason}</p>
        </section>
      )}
      <Head a={a} />
      <Replicas a={a} />
      <AppCharts app={a.name} limits={limits && { memory: limits.memory_bytes, cpu: limits.cpu }} />
      <Consumers name={a.name} />
      <Ribbon name={a.name} />
      {maintaining.value && <MaintenanceDialog a={a} close={() => (maintaining.value = false)} />}
    </>
  );
}
