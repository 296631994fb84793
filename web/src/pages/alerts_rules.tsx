// Rules: what they ask, how they stand, and what is probably wrong with them.
import { useSignal } from "@preact/signals";
import { problemOf } from "../lib/api";
import { duration, seconds } from "../lib/format";
import { param, setQuery } from "../lib/route";
import type { Rule, RuleGroup } from "../lib/types_ops";
import { Ago, Empty, State, Trouble, type Tone } from "../ui/bits";
import { Runbook } from "../ui/links";
import type { AlertState } from "./alerts";
import { AlertChart } from "./alerts_chart";

const troubled = (r: Rule) => r.health === "err" || (r.notes?.length ?? 0) > 0;

export const rulesWithNotes = (groups: RuleGroup[]) => groups.reduce((n, g) => n + g.rules.filter(troubled).length, 0);

function stateOf(r: Rule): [Tone, string] {
  if (r.health === "err") return ["bad", "fails"];
  if (r.health === "unknown") return ["plain", "not yet evaluated"];
  if (r.type !== "alerting") return ["good", "recorded"];
  return r.state === "firing" ? ["bad", "firing"] : r.state === "pending" ? ["busy", "pending"] : ["good", "not firing"];
}

function Notes({ r }: { r: Rule }) {
  if (!r.lastError && !r.notes?.length) return null;
  return (
    <ul class="notes">
      {r.lastError && (
        <li>
          <State tone="bad">{r.lastError}</State>
        </li>
      )}
      {r.notes?.map((n) => (
        <li key={n.message}>
          <State tone="warn">{n.message}</State>
          {n.hint && <span class="dim">, {n.hint}</span>}
        </li>
      ))}
    </ul>
  );
}

function Row({ r }: { r: Rule }) {
  const open = useSignal(false);
  const [tone, word] = stateOf(r);
  return (
    <li class="alert" data-row tabIndex={-1} data-rule={r.name}>
      <details class="source" onToggle={(e) => (open.value = e.currentTarget.open)}>
        <summary data-open>
          <b>{r.name}</b> <State tone={tone}>{word}</State>
          {r.duration ? <span class="dim"> for {duration(r.duration * 1000)}</span> : null}
          <code class="expr">{r.query}</code>
        </summary>
        {r.annotations?.summary && <p>{r.annotations.summary}</p>}
        <p class="dim">
          evaluated <Ago ms={Date.parse(r.lastEvaluation)} /> in {seconds(r.evaluationTime)}
          {Object.entries(r.labels ?? {}).map(([name, value]) => `, ${name}=${value}`)}
        </p>
        <Runbook at={r.annotations?.runbook_url} />
        {open.value && <AlertChart expr={r.query} labels={{}} since={0} title={`Value of ${r.name}`} />}
      </details>
      <Notes r={r} />
    </li>
  );
}

export function Rules({ s, filter }: { s: AlertState; filter: string }) {
  const only = param("only") === "notes";
  const wanted = (r: Rule) => (!only || troubled(r)) && (!filter || `${r.name} ${r.query} ${r.state ?? ""}`.toLowerCase().includes(filter));
  // What people are told by comes before what is only recorded.
  const alerting = (g: RuleGroup) => (g.rules.some((r) => r.type === "alerting") ? 0 : 1);
  const ordered = [...s.rules].sort((a, b) => alerting(a) - alerting(b));
  const groups = ordered.map((g) => ({ ...g, rules: g.rules.filter(wanted) })).filter((g) => g.rules.length);
  const total = rulesWithNotes(s.rules);
  if (s.rulesProblem) return <Trouble problem={problemOf(s.rulesProblem)} />;
  return (
    <>
      <p class="line">
        <State tone={total ? "warn" : "good"}>{total ? `${total} ${total === 1 ? "rule has" : "rules have"} findings` : "no rule has a finding"}</State>
        <label class="check">
          <input type="checkbox" checked={only} onChange={(e) => setQuery({ only: e.currentTarget.checked ? "notes" : "" })} /> only these
        </label>
        <span class="dim">
          the same as <code>headgate config check</code>, and whether the series that a rule names are there
        </span>
      </p>
      {groups.map((g) => (
        <section class="card" key={`${g.file} ${g.name}`} aria-label={`Rules of ${g.name}`}>
          <header class="head">
            <h2>{g.name}</h2>
            <span class="dim">
              {g.file !== g.name && `${g.file}, `}every {duration(g.interval * 1000)}
            </span>
          </header>
          <ol class="alerts">
            {g.rules.map((r, i) => (
              <Row key={`${r.name} ${i}`} r={r} />
            ))}
          </ol>
        </section>
      ))}
      {groups.length === 0 && <Empty>{filter || only ? "No rule like that." : "No rule is configured: alerts: rules: in the file, or alerts: import: for Prometheus' rule files."}</Empty>}
    </>
  );
}
