// What fires, by the groups in which people are told, and what will fire if it goes on.
import { useSignal } from "@preact/signals";
import { ruleOf, toneOfSeverity, without, type Group, type Shown, type Told } from "../lib/alerts";
import { duration, number, stamp } from "../lib/format";
import { href } from "../lib/route";
import { may } from "../lib/session";
import { now } from "../lib/time";
import type { Labels, Matcher, RuleAlert, RuleGroup, Rule } from "../lib/types_ops";
import { Columns, Empty, Num, State, type Tone } from "../ui/bits";
import { Runbook } from "../ui/links";
import type { AlertState } from "./alerts";
import { againText } from "./alerts_receivers";
import { AlertChart } from "./alerts_chart";
import { SilenceDialog } from "./alerts_silences";

export function LabelList({ pairs }: { pairs: [string, string][] }) {
  if (!pairs.length) return null;
  return (
    <ul class="labels" aria-label="Labels">
      {pairs.map(([name, value]) => (
        <li key={name}>
          <span class="dim">{name}=</span>
          {value}
        </li>
      ))}
    </ul>
  );
}

const TOLD: Record<string, [Tone, string]> = {
  sent: ["good", "told"],
  "nothing new": ["good", "told before, nothing new"],
  "being sent": ["busy", "is being told"],
  waiting: ["busy", "not told yet"],
  failed: ["bad", "could not be told"],
  "no receiver": ["warn", "nobody to tell"],
};

function ToldLine({ t }: { t: Told }) {
  const [tone, text] = TOLD[t.last] ?? (["plain", t.last] as [Tone, string]);
  const left = t.next_ms - now.value;
  return (
    <li>
      <State tone={tone}>
        <b>{t.receiver}</b> {text}
        {t.failed && `: ${t.failed.why}`}
      </State>
      <span class="dim">
        {t.failed ? `, ${againText(t.failed)}` : t.next_ms > 0 && t.last !== "being sent" && `, ${left > 1000 ? `looked at again in ${duration(left)}` : "is being looked at"}`}
      </span>
    </li>
  );
}

function stateOf(s: Shown): [Tone, string] {
  const { state, silencedBy, inhibitedBy } = s.alert.status;
  if (state === "active") return [toneOfSeverity(s.alert.labels.severity), "firing"];
  return ["plain", silencedBy.length ? "silenced" : inhibitedBy.length ? "kept back by another alert" : state];
}

export const matchersOf = (labels: Labels): Matcher[] => Object.entries(labels).map(([name, value]) => ({ name, value, isRegex: false, isEqual: true }));

function Source({ labels, rules }: { labels: Labels; rules: RuleGroup[] }) {
  const shown = useSignal(false);
  const found = ruleOf(rules, labels);
  if (!found) {
    return labels.slo && labels.app ? (
      <p>
        <a href={href(["slo"], { app: labels.app })}>
          the budget of {labels.app} {labels.slo}
        </a>
      </p>
    ) : null;
  }
  return (
    <details class="source" onToggle={(e) => (shown.value = e.currentTarget.open)}>
      <summary>
        <code>{found.rule.query}</code>
        {found.seen && <span class="dim"> is {number(Number(found.seen.value))} now</span>}
      </summary>
      {shown.value && <AlertChart expr={found.rule.query} labels={labels} since={found.seen ? Date.parse(found.seen.activeAt) : 0} />}
    </details>
  );
}

function One({ s, group, rules, silence }: { s: Shown; group: Labels; rules: RuleGroup[]; silence: (labels: Labels) => void }) {
  const a = s.alert;
  const [tone, word] = stateOf(s);
  const { summary, description, runbook_url, runbook, ...others } = a.annotations;
  return (
    <li class={`alert ${a.status.state}`} data-row tabIndex={-1} data-alert={a.fingerprint}>
      <div class="line">
        <State tone={tone}>
          {a.labels.severity && <b>{a.labels.severity} </b>}
          {word}
        </State>
        <span class="dim">
          <time dateTime={a.startsAt} title={stamp(Date.parse(a.startsAt))}>
            for {duration(now.value - Date.parse(a.startsAt))}
          </time>
        </span>
        <LabelList pairs={without(a.labels, "severity", ...Object.keys(group))} />
        <span class="space" />
        {may("deployer") && !a.status.silencedBy.length && (
          <button type="button" class="small" data-open onClick={() => silence(a.labels)}>
            Silence<span class="hidden"> {a.labels.alertname}</span> …
          </button>
        )}
      </div>
      {summary && <p>{summary}</p>}
      {description && <p class="dim">{description}</p>}
      {Object.entries(others).map(([name, value]) => (
        <p key={name} class="dim">
          {name}: {value}
        </p>
      ))}
      <Source labels={a.labels} rules={rules} />
      <div class="line">
        {s.told.length ? (
          <ul class="told" aria-label="Who is told">
            {s.told.map((t, i) => (
              <ToldLine key={i} t={t} />
            ))}
          </ul>
        ) : (
          <State tone="warn">no route has a receiver for it: nobody is told</State>
        )}
        <Runbook at={runbook_url ?? runbook} />
      </div>
    </li>
  );
}

const AT_ONCE = 50;

export function Firing({ groups, s, filter, again }: { groups: Group[]; s: AlertState; filter: string; again: () => void }) {
  const silenced = useSignal<Labels | null>(null);
  const all = useSignal(false);
  const text = (g: Group) => JSON.stringify(g.alerts.map((x) => [x.alert.labels, x.alert.annotations])).toLowerCase();
  const list = groups.filter((g) => !filter || text(g).includes(filter));
  const rows = all.value ? list : list.slice(0, AT_ONCE);
  return (
    <>
      {list.length === 0 && (
        <section class="card">
          <Empty>{filter ? "No alert like that fires." : "Nothing fires."}</Empty>
        </section>
      )}
      {rows.map((g) => {
        const title = [g.labels.alertname, g.labels.app].filter(Boolean).join(" · ") || "other alerts";
        return (
          <section class="card" key={g.key} aria-label={title} data-group={title}>
            <header class="head">
              <h2>
                {g.labels.alertname ?? (g.labels.app ? "" : "other alerts")}
                {g.labels.alertname && g.labels.app && " · "}
                {g.labels.app && <a href={href(["apps", g.labels.app])}>{g.labels.app}</a>}
              </h2>
              <LabelList pairs={without(g.labels, "alertname", "app")} />
              {g.alerts.length > 1 && <span class="dim">{g.alerts.length} alerts</span>}
            </header>
            <ol class="alerts">
              {g.alerts.map((x) => (
                <One key={x.alert.fingerprint} s={x} group={g.labels} rules={s.rules} silence={(labels) => (silenced.value = labels)} />
              ))}
            </ol>
          </section>
        );
      })}
      {rows.length < list.length && (
        <button type="button" class="quiet" onClick={() => (all.value = true)}>
          show all {list.length} groups
        </button>
      )}
      {silenced.value && <SilenceDialog from={matchersOf(silenced.value)} alerts={s.alerts} close={() => (silenced.value = null)} done={again} />}
    </>
  );
}

// ---- pending ----

export function Pending({ rules, filter }: { rules: RuleGroup[]; filter: string }) {
  const list: { rule: Rule; a: RuleAlert }[] = [];
  for (const g of rules) for (const rule of g.rules) for (const a of rule.alerts ?? []) if (a.state === "pending") list.push({ rule, a });
  const rows = list.filter(({ a }) => !filter || JSON.stringify([a.labels, a.annotations]).toLowerCase().includes(filter));
  if (!rows.length) return null;
  return (
    <section class="card" aria-labelledby="pending-title">
      <h2 id="pending-title">About to fire</h2>
      <table class="rows stack">
        <Columns of={["alert", "about", "what", "#value", "#fires"]} />
        <tbody>
          {rows.map(({ rule, a }) => {
            const left = Date.parse(a.activeAt) + (rule.duration ?? 0) * 1000 - now.value;
            return (
              <tr key={JSON.stringify(a.labels)} data-row tabIndex={-1}>
                <th scope="row">
                  <State tone="busy">{a.labels.alertname}</State>
                </th>
                <td data-label="about">
                  <LabelList pairs={without(a.labels, "alertname")} />
                </td>
                <td data-label="what">
                  {a.annotations.summary ?? ""} <code class="dim">{rule.query}</code>
                </td>
                <Num name="value">
                  {number(Number(a.value))}
                </Num>
                <Num name="fires">
                  {left > 0 ? `in ${duration(left)}` : "with the next look"}
                </Num>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
