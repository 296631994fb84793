// One incident: what it is, who has it, what happened around it, and the document that is written after it.
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { post, problemOf, request } from "../lib/api";
import { runs, toneOfEvent, words } from "../lib/events";
import { clock, day, duration, person, stamp } from "../lib/format";
import { usePageKeys } from "../lib/keys";
import { useGet, useTold, useTurn } from "../lib/resource";
import { href } from "../lib/route";
import { may, session } from "../lib/session";
import { now } from "../lib/time";
import type { Event, Problem } from "../lib/types";
import type { IncidentLine, IncidentWhole } from "../lib/types_ops";
import { Empty, Entry, Failed, Figure, Reading, State, Trouble } from "../ui/bits";
import { Act, ask, type Change } from "../ui/confirm";
import { Copy } from "../ui/copy";
import { Runbook } from "../ui/links";
import { AppCharts } from "./app_charts";
import { dueText, toneOfIncident } from "./incidents";

const HOUR = 3_600_000;

const steer = (i: IncidentWhole, verb: string, body: object) => post(`/v1/incidents/${i.id}/${verb}`, body);

// A note is left out when there is none: the API asks for at least one byte.
const noted = (note: string) => (note ? { note } : {});

const changes = {
  ack: (i: IncidentWhole, again: () => void): Change => ({
    title: `Take incident ${i.id}?`,
    text: i.assignee ? `${person(i.assignee)} has it; that stays.` : "It is assigned to you, and nobody is asked for any more.",
    verb: "Acknowledge",
    done: `incident ${i.id} acknowledged`,
    field: { label: "Note for the timeline" },
    act: (note) => steer(i, "ack", noted(note)).then(again),
  }),
  assign: (i: IncidentWhole, again: () => void): Change => ({
    title: `Who takes care of incident ${i.id}?`,
    text: i.assignee ? `${person(i.assignee)} has it now.` : "Nobody has it yet.",
    verb: "Assign",
    done: `incident ${i.id} assigned`,
    field: { label: "Name", required: true, value: i.assignee || session.peek()?.name },
    act: (to) => steer(i, "assign", { to }).then(again),
  }),
  resolve: (i: IncidentWhole, again: () => void): Change => ({
    title: `Is incident ${i.id} over?`,
    text: "What opened it may be over long before: that it is, a person says.",
    verb: "Resolve",
    done: `incident ${i.id} resolved`,
    field: { label: "What it was, and what was done" },
    act: (note) => steer(i, "resolve", noted(note)).then(again),
  }),
};

function Buttons({ i, again }: { i: IncidentWhole; again: () => void }) {
  const over = i.state === "resolved";
  usePageKeys(
    over || !may("deployer")
      ? []
      : [
          ...(i.state === "open" ? [{ keys: "a", what: "acknowledge", act: () => ask(changes.ack(i, again)) }] : []),
          { keys: "s", what: "assign", act: () => ask(changes.assign(i, again)) },
          { keys: "x", what: "resolve", act: () => ask(changes.resolve(i, again)) },
        ],
  );
  if (over) return null;
  return (
    <p class="buttons">
      {i.state === "open" && (
        <Act needs="deployer" kind="primary" change={() => changes.ack(i, again)}>
          Acknowledge
        </Act>
      )}
      <Act needs="deployer" change={() => changes.assign(i, again)}>
        Assign
      </Act>
      <Act needs="deployer" kind={i.state === "open" ? "" : "primary"} change={() => changes.resolve(i, again)}>
        Resolve
      </Act>
    </p>
  );
}

function Report({ i }: { i: IncidentWhole }) {
  const text = useSignal<string | null>(null);
  const problem = useSignal<Problem | null>(null);
  const open = async () => {
    problem.value = null;
    try {
      text.value = await (await request(`/v1/incidents/${i.id}/report`)).text();
    } catch (error) {
      problem.value = problemOf(error);
    }
  };
  return (
    <section class="card" aria-labelledby="report-title">
      <header class="head">
        <h2 id="report-title">Report</h2>
        <span class="dim">the document to be written after it, with all facts filled in: Markdown</span>
        <p class="buttons">
          <button type="button" onClick={open}>
            {text.value === null ? "Make it" : "Make it again"}
          </button>
          {text.value !== null && <Copy text={text.value} what="the report" says="Copy" />}
        </p>
      </header>
      {problem.value && <Trouble problem={problem.value} />}
      {text.value !== null && (
        <pre class="report" id="report-text" tabIndex={0} aria-label="Report">
          {text}
        </pre>
      )}
    </section>
  );
}

function asEvent(i: IncidentWhole, l: IncidentLine): Event {
  return { id: 0, ts_ms: l.ts_ms, kind: l.kind, app: i.app, release: l.release, replica: l.replica, evidence: l.event };
}

// Entries that only say that something went on as it should are many, and are left out unless asked for.
const USUAL = /^(replica\.(created|started|retired|stopped)|app\.releases|rollout\.phase)$/;

function Timeline({ i }: { i: IncidentWhole }) {
  const all = useSignal(false);
  const list = useMemo(() => [...i.timeline].reverse(), [i.timeline]);
  const textOf = (l: IncidentLine) => words(asEvent(i, l)) ?? l.text;
  const rows = runs(all.value ? list : list.filter((l) => !USUAL.test(l.kind)), (l) => `${l.kind} ${textOf(l)}`);
  let last = "";
  return (
    <section class="card ribbon" aria-labelledby="timeline-title">
      <header class="head">
        <h2 id="timeline-title">Timeline</h2>
        <span class="dim">from an hour before it was opened, newest first</span>
        <label class="check">
          <input type="checkbox" checked={all} onChange={(e) => (all.value = e.currentTarget.checked)} /> every replica's turn
        </label>
      </header>
      <ol>
        {rows.map(({ item: l, n }, k) => {
          const d = day(l.ts_ms);
          const head = d !== last && last !== "" ? d : "";
          last = d;
          return (
            <Entry key={k} class={l.kind === "incident.opened" ? "opened" : ""} ms={l.ts_ms} when={`${head && `${head} `}${clock(l.ts_ms)}`} tone={toneOfEvent(asEvent(i, l))} title={l.kind} n={n}>
              {textOf(l)}
            </Entry>
          );
        })}
      </ol>
      {rows.length === 0 && <Empty>No entry of the journal.</Empty>}
    </section>
  );
}

function Facts({ i }: { i: IncidentWhole }) {
  const due = dueText(i, now.value);
  const until = i.resolved_ms ?? now.value;
  return (
    <dl class="figures">
      <Figure name="priority" tone={i.state !== "resolved" && i.priority === "P1" ? "bad" : undefined} title={`to be taken within ${duration(i.response_s * 1000)}`}>
        {i.priority}
      </Figure>
      <Figure name="opened">{stamp(i.opened_ms)}</Figure>
      <Figure name={i.state === "open" ? "to be taken" : "acknowledged"} tone={due.late ? "bad" : undefined}>
        {due.text}
      </Figure>
      <Figure name={i.resolved_ms ? "took" : "since"}>{duration(until - i.opened_ms)}</Figure>
      <Figure name="who has it">{person(i.assignee) || "nobody"}</Figure>
      {i.escalations > 0 && (
        <Figure name="was late" tone="bad">
          {i.escalations} ×
        </Figure>
      )}
    </dl>
  );
}

export function IncidentPage({ id }: { id: string }) {
  const turn = useTurn(15_000);
  const asked = useGet<IncidentWhole>(`/v1/incidents/${encodeURIComponent(id)}`, turn, useTold(/^incident\./));
  const i = asked.data;
  const opened = i?.opened_ms ?? 0;
  const resolved = i?.resolved_ms ?? 0;
  const marks = useMemo(
    () => [{ ms: opened, label: "opened", tone: "bad" as const }, ...(resolved ? [{ ms: resolved, label: "resolved", tone: "good" as const }] : [])],
    [opened, resolved],
  );
  if (!i) return <Reading title={`Incident ${id}`} {...asked} />;
  return (
    <>
      <header class="head">
        <h1>Incident {i.id}</h1>
        <State tone={toneOfIncident(i)}>{i.state}</State>
        {i.app && <a href={href(["apps", i.app])}>{i.app}</a>}
        <Buttons i={i} again={asked.again} />
      </header>
      <Failed of={asked} />
      <section class={`verdict ${toneOfIncident(i)}`} data-incident={i.id}>
        <p class="what">{i.title}</p>
        <Runbook at={i.runbook} />
      </section>
      <section class="card" aria-label="Facts">
        <Facts i={i} />
      </section>
      {i.app && <h2 class="hidden">Around it</h2>}
      {i.app && <AppCharts app={i.app} from={i.opened_ms - HOUR} to={i.resolved_ms ? i.resolved_ms + HOUR / 4 : 0} marks={marks} few />}
      <Timeline i={i} />
      <Report i={i} />
    </>
  );
}
