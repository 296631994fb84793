// One objective: its budget, the rules of its burn rate, and what spent it.
import { useMemo } from "preact/hooks";
import { count, duration, nines, number, ratio, seconds, stamp } from "../lib/format";
import { useGet } from "../lib/resource";
import { href } from "../lib/route";
import type { RolloutLine } from "../lib/types";
import type { BurnRule, Objective, Slice } from "../lib/types_ops";
import { Ago, Bar, Columns, Figure, State } from "../ui/bits";
import { Chart, type Limit, type Mark } from "../ui/chart";
import { Runbook } from "../ui/links";
import { exhaustedText, leftText, toneOfObjective, wordOfObjective } from "./slo";

const MINUTE = 60_000;
const WORST = 3;
const NOTABLE = 0.01; // of the budget
const MARKS = 24; // more could not be told apart

function BurnRow({ r }: { r: BurnRule }) {
  const tone = r.holds ? (r.severity === "critical" ? "bad" : "warn") : "plain";
  const cell = (burn: number, span: string) => (
    <td data-label="burn" class="burn">
      <Bar share={burn / r.limit} tone={burn > r.limit ? tone === "plain" ? "warn" : tone : "busy"} label={`${number(burn)} in ${span}, the limit is ${number(r.limit)}`} />
      <span class="num">{number(burn)}</span> <span class="dim">in {span}</span>
    </td>
  );
  return (
    <tr>
      <th scope="row">{number(r.limit)}</th>
      {cell(r.burn_long, r.long)}
      {cell(r.burn_short, r.short)}
      <td data-label="then">
        <State tone={tone}>{r.holds ? `${r.severity}: holds` : r.severity}</State>
      </td>
    </tr>
  );
}

function Burn({ o }: { o: Objective }) {
  return (
    <table class="rows stack">
      <caption class="hidden">
        How fast the budget of {o.app} {o.slo} burns
      </caption>
      <Columns of={["burn above", "long", "and still", "alert"]} />
      <tbody>
        {o.rules.map((r) => (
          <BurnRow key={`${r.long} ${r.limit}`} r={r} />
        ))}
      </tbody>
    </table>
  );
}

const began = (o: Objective, s: Slice) => s.until_ms - o.history.slice_minutes * MINUTE;

// The parts of the window that spent most, with the rollouts that ran then.
function Spent({ o, rollouts }: { o: Objective; rollouts: RolloutLine[] }) {
  const worst = o.history.slices
    .filter((s) => s.bad > 0)
    .sort((a, b) => b.bad - a.bad)
    .slice(0, WORST)
    .filter((s, i) => i === 0 || s.bad >= NOTABLE * o.budget.allowed);
  if (!worst.length) return <p class="dim">No bad answer in {o.window}.</p>;
  return (
    <>
      <h3>Spent most</h3>
      <ol class="spent">
        {worst.map((s) => {
          const near = rollouts.filter((r) => r.created_ms < s.until_ms && (r.ended_ms || s.until_ms) > began(o, s));
          return (
            <li key={s.until_ms}>
              <b class="num">{o.budget.allowed > 0 ? ratio(s.bad / o.budget.allowed) : "–"}</b>{" "}
              <span>
                from {stamp(began(o, s)).slice(0, 16)}, {duration(o.history.slice_minutes * MINUTE)}: {count(s.bad)} of {count(s.total)} answers were bad, burn {number(s.burn)}
                {near.slice(0, 3).map((r) => (
                  <span key={r.id}>
                    {", "}
                    <a href={href(["rollouts", String(r.id)])}>
                      rollout {r.id} of {r.new.version} {r.outcome.replaceAll("_", " ")}
                    </a>
                  </span>
                ))}
              </span>
            </li>
          );
        })}
      </ol>
    </>
  );
}

// One mark in each part of the window: of the rollouts that ended in it, one that was taken back before all others.
function marksOf(rollouts: RolloutLine[], windowMs: number): Mark[] {
  const parts = new Map<number, Mark>();
  for (const r of rollouts) {
    const ms = r.ended_ms || r.created_ms;
    const bad = r.outcome === "rolled_back";
    const part = Math.floor((ms * MARKS) / windowMs);
    if (bad || !parts.has(part)) parts.set(part, { ms, label: r.new.version, tone: bad ? "bad" : r.outcome === "promoted" ? "good" : "plain" });
  }
  return [...parts.values()].sort((a, b) => a.ms - b.ms);
}

function History({ o, rollouts }: { o: Objective; rollouts: RolloutLine[] }) {
  const slices = o.history.slices;
  const first = slices[0];
  // From where the first part began, when all of it was left.
  const times = useMemo(() => (first ? [began(o, first), ...slices.map((s) => s.until_ms)] : []), [slices]);
  const marks = useMemo(() => marksOf(rollouts, o.window_s * 1000), [rollouts, o.window_s]);
  const left = useMemo(() => [{ label: "left", values: [1, ...slices.map((s) => s.left)], color: "--c1", fill: true }], [slices]);
  const spent = useMemo(() => [{ label: "bad answers", values: [first?.bad ?? 0, ...slices.map((s) => s.bad)], color: "--bad", fill: true }], [slices]);
  const limits = useMemo<Limit[]>(() => (o.freeze_below !== null ? [{ value: o.freeze_below, label: "freeze", tone: "warn" }] : []), [o.freeze_below]);
  const part = duration(o.history.slice_minutes * MINUTE);
  const name = `${o.app} ${o.slo}`;
  return (
    <div class="charts">
      <Chart title="Budget left" help={`${name}: what was left after each part of ${part}`} unit="ratio" max={1} times={times} lines={left} limits={limits} marks={marks} empty="nothing was counted yet" />
      <Chart title={`What spent it, by ${part}`} help={`${name}: answers that were bad`} times={times} lines={spent} marks={marks} empty="nothing was counted yet" />
    </div>
  );
}

export function ObjectiveCard({ o }: { o: Objective }) {
  const asked = useGet<{ rollouts: RolloutLine[] }>(`/v1/rollouts?limit=1000&app=${encodeURIComponent(o.app)}`);
  const since = o.history.slices[0] ? began(o, o.history.slices[0]) : 0;
  const rollouts = useMemo(() => (asked.data?.rollouts ?? []).filter((r) => (r.ended_ms || Infinity) > since), [asked.data, since]);
  const tone = toneOfObjective(o);
  const id = `slo-${o.app}-${o.slo}`;
  const b = o.budget;
  return (
    <section class="card objective" aria-labelledby={id} data-objective={`${o.app}/${o.slo}`}>
      <header class="head">
        <h2 id={id}>
          <a class="plain" href={href(["apps", o.app])}>
            {o.app}
          </a>{" "}
          {o.slo}
        </h2>
        <State tone={tone}>{wordOfObjective(o)}</State>
        {o.frozen && <State tone="warn">deployments are frozen</State>}
        <span class="dim">
          {nines(o.objective)} of {o.window}
          {o.faster_than_s !== undefined && `, within ${seconds(o.faster_than_s)}`}
        </span>
        <span class="space" />
        <Runbook at={o.runbook} />
      </header>
      <dl class="figures">
        <Figure name={`good answers, ${nines(o.objective)} wanted`} tone={o.ratio !== null && o.ratio < o.objective ? "bad" : "good"}>
          {nines(o.ratio)}
        </Figure>
        <Figure name="bad answers" title={`${number(b.allowed)} are allowed of as many`}>
          {count(o.bad)} <span class="dim">of {count(o.total)}</span>
        </Figure>
        <Figure name="budget left" tone={tone}>
          {leftText(o)}
        </Figure>
        <Figure name="as time of outage" tone={b.minutes_left <= 0 ? "bad" : undefined}>
          {b.minutes_left > 0 ? duration(b.minutes_left * MINUTE) : "0 s"} <span class="dim">of {duration(b.minutes * MINUTE)}</span>
        </Figure>
        <Figure name="used up">{exhaustedText(o)}</Figure>
        {o.freeze_below !== null && (
          <Figure name="deployments" tone={o.frozen ? "warn" : undefined}>
            {o.frozen ? "frozen" : `freeze below ${ratio(o.freeze_below)}`}
          </Figure>
        )}
        {o.alerts[0] && (
          <Figure name="alert since" tone="bad">
            <Ago ms={Math.min(...o.alerts.map((a) => a.since_ms))} />
          </Figure>
        )}
      </dl>
      <div class="wide-bar">
        <Bar share={b.left} tone={tone} label={`${leftText(o)} left of the error budget`} />
      </div>
      <div class="halves">
        <Burn o={o} />
        <div>
          <Spent o={o} rollouts={rollouts} />
          {o.frozen && (
            <p class="hint">
              A fix goes out all the same: <code>headgate deploy {o.app} --override 'WHY'</code>
            </p>
          )}
        </div>
      </div>
      <History o={o} rollouts={rollouts} />
      <p class="hint">
        Counted by the edge, every answer{o.since_ms ? `, since ${stamp(o.since_ms).slice(0, 16)}` : ""}. Burn 1 spends the budget exactly in {o.window}; an alert begins when a rule's long and short time are both above its limit. All of it: docs/howto/keep-error-budgets.md
      </p>
    </section>
  );
}
