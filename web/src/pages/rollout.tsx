// One rollout, live: where it stands, what the judge has seen, what users saw, and the buttons for who may press them.
import { useComputed } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, post } from "../lib/api";
import { causeText, phaseText, sentence, toneOfEvent } from "../lib/events";
import { person, clock, count, duration, ratio, stamp } from "../lib/format";
import { usePageKeys } from "../lib/keys";
import { useJournal } from "../lib/journal";
import { rollout as liveRollout } from "../lib/live";
import { useResource } from "../lib/resource";
import { href } from "../lib/route";
import { may } from "../lib/session";
import { now } from "../lib/time";
import type { Event, Rollout, Side } from "../lib/types";
import { announce, Columns, Empty, Figure, Num, Reading, State, type Tone } from "../ui/bits";
import { Act, ask, type Change } from "../ui/confirm";
import { Evidence } from "./rollout_evidence";
import { RolloutCharts } from "./rollout_charts";
import { Failures } from "./rollout_failures";
import { toneOfRollout, wordOfRollout } from "./rollouts";

const names = (r: Rollout) => `${r.old.version} → ${r.new.version}`;

function steer(r: Rollout, verb: string, body: object = {}) {
  return post(`/v1/rollouts/${r.id}/${verb}`, body);
}

const changes = {
  promote: (r: Rollout): Change => ({
    title: `Promote ${r.new.version} now?`,
    text: r.state === "waiting" ? "A gate waits for a person: this confirms it." : `The next step begins at once, though this one has not proven anything yet. The weight is ${ratio(r.weight.set)} now.`,
    verb: "Promote",
    done: `rollout ${r.id}: next step`,
    act: () => steer(r, "promote"),
  }),
  full: (r: Rollout): Change => ({
    title: `Give ${r.new.version} all requests now?`,
    text: "All further steps are skipped. The judge still watches after the promotion, if the app says so.",
    verb: "Promote all the way",
    danger: true,
    done: `rollout ${r.id}: promoted all the way`,
    act: () => steer(r, "promote", { full: true }),
  }),
  pause: (r: Rollout): Change => ({
    title: `Pause at ${ratio(r.weight.set)}?`,
    text: "The weight stays. A bad release is still taken back by itself.",
    verb: "Pause",
    done: `rollout ${r.id} paused`,
    act: () => steer(r, "pause"),
  }),
  resume: (r: Rollout): Change => ({
    title: "Go on?",
    text: `The steps go on from ${ratio(r.weight.set)}.`,
    verb: "Resume",
    done: `rollout ${r.id} goes on`,
    act: () => steer(r, "resume"),
  }),
  abort: (r: Rollout): Change => ({
    title: `Abort the release of ${r.new.version}?`,
    text: `The weight is 0 at once; ${r.old.version} serves all requests.`,
    verb: "Abort",
    danger: true,
    done: `rollout ${r.id} aborted`,
    act: () => steer(r, "abort"),
  }),
  retry: (r: Rollout): Change => ({
    title: `Try ${r.new.version} once more?`,
    text: "A new rollout of the same release starts at its first step.",
    verb: "Retry",
    done: `${r.new.version} is tried once more`,
    act: async () => {
      const made = (await steer(r, "retry")) as { id: number };
      location.hash = href(["rollouts", String(made.id)]);
    },
  }),
  rollback: (r: Rollout): Change => ({
    title: `Roll ${r.app} back to ${r.old.version}?`,
    text: `Release ${r.old.release} takes over again, by a rollout of its own.`,
    verb: "Roll back",
    danger: true,
    done: `${r.app} goes back to ${r.old.version}`,
    act: async () => {
      const made = await post<{ id: number }>(`/v1/apps/${encodeURIComponent(r.app)}/rollback`, { to: r.old.release });
      location.hash = href(["rollouts", String(made.id)]);
    },
  }),
};

function Buttons({ r }: { r: Rollout }) {
  const over = r.outcome !== "";
  const watched = r.phase === "watch";
  const back = r.phase === "back";
  const paused = r.state === "paused";
  usePageKeys(
    !may("deployer") || over || back
      ? []
      : [
          ...(watched ? [] : [{ keys: "p", what: "promote", act: () => ask(changes.promote(r)) }]),
          ...(watched && !paused ? [] : [{ keys: "w", what: paused ? "resume" : "wait (pause)", act: () => ask(paused ? changes.resume(r) : changes.pause(r)) }]),
          { keys: "a", what: "abort", act: () => ask(changes.abort(r)) },
        ],
  );
  return (
    <p class="buttons">
      {!over && !back && (
        <>
          {!watched && (
            <Act needs="deployer" change={() => changes.promote(r)} kind="primary">
              {r.state === "waiting" ? "Confirm" : "Promote"}
            </Act>
          )}
          {!watched && (
            <Act needs="deployer" change={() => changes.full(r)}>
              Promote all the way
            </Act>
          )}
          {paused ? (
            <Act needs="deployer" change={() => changes.resume(r)}>
              Resume
            </Act>
          ) : (
            !watched && (
              <Act needs="deployer" change={() => changes.pause(r)}>
                Pause
              </Act>
            )
          )}
          <Act needs="deployer" change={() => changes.abort(r)} kind="danger">
            Abort
          </Act>
        </>
      )}
      {r.outcome === "rolled_back" && (
        <Act needs="deployer" change={() => changes.retry(r)}>
          Retry
        </Act>
      )}
      {r.outcome === "promoted" && r.old.release > 0 && (
        <Act needs="deployer" change={() => changes.rollback(r)} kind="danger">
          Roll back to {r.old.version}
        </Act>
      )}
    </p>
  );
}

function Ready({ side, color }: { side: Side; color: string }) {
  return (
    <div>
      <dt>
        <i class="swatch" style={{ "--swatch": `var(${color})` }} />
        {side.version}
      </dt>
      <dd>
        {side.ready}/{side.wanted} ready
      </dd>
    </div>
  );
}

function Steps({ r }: { r: Rollout }) {
  const left = r.step.until_ms ? r.step.until_ms - now.value : 0;
  const share = r.step.until_ms > r.step.since_ms ? (now.value - r.step.since_ms) / (r.step.until_ms - r.step.since_ms) : 0;
  return (
    <section class="card steps" aria-labelledby="steps-title">
      <h2 id="steps-title">
        Steps <span class="dim">{r.strategy}</span>
      </h2>
      <ol>
        {r.steps.map((s, i) => {
          // Where it was when it was taken back.
          const failed = r.outcome === "rolled_back" && i === r.step.index - 1 && s.state !== "done";
          const tone: Tone = failed ? "bad" : s.state === "done" ? (s.unproven ? "warn" : "good") : s.state === "now" ? "busy" : "plain";
          return (
            <li key={i} class={failed ? "failed" : s.state} aria-current={s.state === "now" ? "step" : undefined}>
              <b>{s.weight === 0 ? "shadow" : ratio(s.weight)}</b>
              <State tone={tone}>
                {failed ? "taken back here" : s.state === "done" ? `${s.proof || "done"} in ${duration(s.took_ms)}` : s.state === "now" ? (left > 0 ? `${duration(left)} left` : phaseText(r.phase)) : s.wait_ms ? `${duration(s.wait_ms)} wait` : "next"}
              </State>
              {s.state === "now" && share > 0 && share <= 1 && (
                <span class="progress" aria-hidden="true">
                  <span style={{ width: `${share * 100}%` }} />
                </span>
              )}
            </li>
          );
        })}
      </ol>
      <dl class="weights">
        <div>
          <dt>weight set</dt>
          <dd>{ratio(r.weight.set)}</dd>
        </div>
        <div>
          <dt>drawn</dt>
          <dd>{ratio(r.weight.actual)}</dd>
        </div>
        {!r.outcome && <Ready side={r.new} color="--new" />}
        {!r.outcome && <Ready side={r.old} color="--old" />}
      </dl>
    </section>
  );
}

function Verdict({ r }: { r: Rollout }) {
  const tone = toneOfRollout(r);
  const head =
    r.outcome === "rolled_back"
      ? `${r.new.version} was taken back: ${causeText(r.cause)}`
      : r.outcome === "promoted"
        ? `${r.new.version} serves`
        : r.outcome === "superseded"
          ? "A newer release took its place"
          : `${r.new.version} ${r.state === "paused" ? "is paused" : r.state === "waiting" ? "waits for a person" : phaseText(r.phase)}`;
  useEffect(() => {
    announce(`${r.app}: ${head}. ${r.why}`);
  }, [r.state, r.phase === "back", r.outcome, r.verdict === "bad"]);
  return (
    <section class={`verdict ${tone}`} data-verdict={r.outcome || r.verdict}>
      <p class="what">
        <State tone={tone}>{head}</State>
      </p>
      <p class="why">{r.why}</p>
      {r.back && r.outcome === "rolled_back" && r.cause === "evidence" && (
        <p class="dim">
          {duration(r.back.took_ms)} and {count(r.back.requests)} requests from the first one to weight 0.
        </p>
      )}
      {r.next && (
        <p class="dim">
          next <code>{r.next}</code>
        </p>
      )}
    </section>
  );
}

// What users had of it: the ledger.
function Users({ r }: { r: Rollout }) {
  const u = r.users;
  return (
    <section class="card" aria-labelledby="users-title">
      <h2 id="users-title">What users had of it</h2>
      <dl class="figures">
        <Figure name="requests to the new one">{count(u.requests_new)}</Figure>
        <Figure name="failed" tone={u.failed_new ? "warn" : undefined}>
          {count(u.failed_new)}
        </Figure>
        <Figure name={`answered by ${r.old.version} instead`} tone={u.rescued ? "good" : undefined}>
          {count(u.rescued)}
        </Figure>
        <Figure name="errors users saw" tone={u.seen ? "bad" : "good"}>
          {count(u.seen)}
        </Figure>
        {u.unreplayable > 0 && <Figure name="could not be repeated">{count(u.unreplayable)}</Figure>}
        {u.forced > 0 && <Figure name="asked for by testers">{count(u.forced)}</Figure>}
      </dl>
    </section>
  );
}

function Gates({ r }: { r: Rollout }) {
  if (!r.gates.length) return null;
  const tones: Record<string, Tone> = { passed: "good", failed: "bad", running: "busy", waiting: "warn" };
  return (
    <section class="card" aria-labelledby="gates-title">
      <h2 id="gates-title">Gates</h2>
      <table class="rows stack">
        <Columns of={["when", "what", "state", "#took"]} />
        <tbody>
          {r.gates.map((g, i) => (
            <tr key={i}>
              <td data-label="when">{g.when}</td>
              <td data-label="what">
                <code>{g.run || g.kind}</code> {g.note && <span class="dim">{g.note}</span>}
              </td>
              <td data-label="state">
                <State tone={tones[g.state] ?? "plain"}>{g.state}</State>
              </td>
              <Num name="took">
                {g.took_ms ? duration(g.took_ms) : "–"}
              </Num>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Mirror({ r }: { r: Rollout }) {
  if (!r.mirror.copied) return null;
  return (
    <section class="card" aria-labelledby="mirror-title">
      <h2 id="mirror-title">Copies of requests</h2>
      <dl class="figures">
        <Figure name="copied">{count(r.mirror.copied)}</Figure>
        <Figure name="answered otherwise" tone={r.mirror.differs ? "warn" : "good"}>
          {count(r.mirror.differs)}
        </Figure>
        <Figure name="without an answer" tone={r.mirror.failed ? "bad" : "good"}>
          {count(r.mirror.failed)}
        </Figure>
        <Figure name="left out">{count(r.mirror.dropped)}</Figure>
      </dl>
    </section>
  );
}

function Timeline({ r, own }: { r: Rollout; own: Event[] }) {
  const list = own.filter((e) => e.kind !== "rollout.phase");
  return (
    <section class="card ribbon" aria-labelledby="timeline-title">
      <h2 id="timeline-title">Timeline</h2>
      <ol>
        {list.map((e) => (
          <li key={e.id} data-event={e.id}>
            <time dateTime={new Date(e.ts_ms).toISOString()} title={stamp(e.ts_ms)}>
              {clock(e.ts_ms)}
            </time>
            <State tone={toneOfEvent(e)}>{sentence(e).replace(`${r.app}: rollout ${r.id}: `, "").replace(`${r.app}: `, "")}</State>
          </li>
        ))}
      </ol>
      {list.length === 0 && <Empty>No entry of the journal yet.</Empty>}
    </section>
  );
}

// Entries of the journal about this rollout.
function useTimeline(r: Rollout | null): Event[] {
  const list = useJournal(r?.app ?? "", !!r, [r?.outcome]);
  if (!r) return [];
  const mine = (e: Event) => {
    const f = e.evidence as { rollout?: number } | null;
    return f?.rollout === r.id || (e.app === r.app && e.release === r.new.release && e.ts_ms >= r.created_ms - 1000 && (!r.ended_ms || e.ts_ms <= r.ended_ms + 60_000));
  };
  return list.filter(mine);
}

export function RolloutPage({ id }: { id: string }) {
  const asked = useResource((signal) => get<Rollout>(`/v1/rollouts/${id}`, signal), [id]);
  const fromStream = useComputed(() => (liveRollout.value && String(liveRollout.value.id) === id ? liveRollout.value : null));
  const r = fromStream.value ?? asked.data;
  const own = useTimeline(r);
  if (!r) return <Reading title={`Rollout ${id}`} {...asked} />;
  return (
    <>
      <header class="head">
        <h1>
          <a class="plain" href={href(["apps", r.app])}>
            {r.app}
          </a>{" "}
          <span class="dim">{names(r)}</span>
        </h1>
        <State tone={toneOfRollout(r)}>{wordOfRollout(r)}</State>
        <span class="dim">
          rollout {r.id}, by {person(r.who)}, {stamp(r.created_ms)}
          {r.ended_ms ? `, ${duration(r.ended_ms - r.created_ms)}` : `, since ${duration(now.value - r.created_ms)}`}
        </span>
        <Buttons r={r} />
      </header>
      <Verdict r={r} />
      <Steps r={r} />
      <Evidence r={r} />
      <Users r={r} />
      <Gates r={r} />
      <Mirror r={r} />
      <RolloutCharts r={r} own={own} />
      <Failures r={r} />
      <Timeline r={r} own={own} />
    </>
  );
}
