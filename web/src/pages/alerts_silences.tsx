// Silences: those there are, and making one.
import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { post, request } from "../lib/api";
import { matcherText, matchesAll, opOf, silencesInOrder } from "../lib/alerts";
import { count, duration, stamp } from "../lib/format";
import { may, session } from "../lib/session";
import { now, serverNow } from "../lib/time";
import type { Alert, Matcher, Silence } from "../lib/types_ops";
import { Columns, Empty, Num, State, type Tone } from "../ui/bits";
import { Act } from "../ui/confirm";
import { FormDialog } from "../ui/form";
import type { AlertState } from "./alerts";

const HOUR = 3_600_000;
const TIMES = [0.5, 1, 2, 4, 8, 24, 72, 168];
const OPS: [string, boolean, boolean][] = [
  ["=", false, true],
  ["!=", false, false],
  ["=~", true, true],
  ["!~", true, false],
];

function MatcherRow({ m, i, set, drop }: { m: Matcher; i: number; set: (m: Matcher) => void; drop: () => void }) {
  return (
    <div class="matcher" role="group" aria-label={`Matcher ${i + 1}`}>
      <input aria-label="Label" required value={m.name} pattern="[a-zA-Z_][a-zA-Z0-9_]*" onInput={(e) => set({ ...m, name: e.currentTarget.value.trim() })} />
      <select
        aria-label="How it is compared"
        value={opOf(m)}
        onChange={(e) => {
          const [, isRegex, isEqual] = OPS.find(([op]) => op === e.currentTarget.value)!;
          set({ ...m, isRegex, isEqual });
        }}
      >
        {OPS.map(([op]) => (
          <option key={op} value={op}>
            {op}
          </option>
        ))}
      </select>
      <input aria-label="Value" value={m.value} onInput={(e) => set({ ...m, value: e.currentTarget.value })} />
      <button type="button" class="quiet" onClick={drop} aria-label={`Remove matcher ${i + 1}, ${m.name}`}>
        ✕
      </button>
    </div>
  );
}

export function SilenceDialog({ from, alerts, close, done }: { from: Matcher[]; alerts: Alert[]; close: () => void; done: () => void }) {
  const list = useSignal(from.length ? from : [{ name: "", value: "", isRegex: false, isEqual: true }]);
  const hours = useSignal(2);
  const comment = useRef<HTMLInputElement>(null);
  const kept = alerts.filter((a) => matchesAll(list.value, a.labels)).length;
  const act = async () => {
    const ends = serverNow() + hours.peek() * HOUR;
    await post("/api/v2/silences", {
      matchers: list.peek(),
      endsAt: new Date(ends).toISOString(),
      createdBy: session.peek()?.name ?? "dashboard",
      comment: comment.current!.value.trim(),
    });
    done();
    return `silenced for ${duration(hours.peek() * HOUR)}`;
  };
  return (
    <FormDialog title="Silence alerts" verb="Silence" close={close} act={act}>
      <fieldset class="matchers">
        <legend>Alerts with all of these labels</legend>
        {list.value.map((m, i) => (
          <MatcherRow
            key={i}
            m={m}
            i={i}
            set={(next) => (list.value = list.peek().map((x, k) => (k === i ? next : x)))}
            drop={() => (list.value = list.peek().filter((_, k) => k !== i))}
          />
        ))}
        <button type="button" class="small" onClick={() => (list.value = [...list.peek(), { name: "", value: "", isRegex: false, isEqual: true }])}>
          Add a label
        </button>
      </fieldset>
      <p role="status" data-kept={kept}>
        {list.value.length === 0 ? (
          <State tone="bad">at least one label is needed</State>
        ) : kept ? (
          <State tone="plain">
            keeps back {count(kept)} of {count(alerts.length)} alerts that fire now
          </State>
        ) : (
          <State tone="warn">no alert that fires now has them</State>
        )}
      </p>
      <label class="field">
        For how long
        <select value={String(hours)} onChange={(e) => (hours.value = Number(e.currentTarget.value))}>
          {TIMES.map((h) => (
            <option key={h} value={String(h)}>
              {duration(h * HOUR)}, until {stamp(now.value + h * HOUR).slice(0, 16)}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        Why
        <input ref={comment} required maxLength={500} autofocus placeholder="database moves" />
      </label>
    </FormDialog>
  );
}

const TONE: Record<string, Tone> = { active: "good", pending: "busy", expired: "plain" };

function Row({ s, alerts, again }: { s: Silence; alerts: Alert[]; again: () => void }) {
  const state = s.status.state;
  const over = state === "expired";
  const edge = Date.parse(state === "pending" ? s.startsAt : s.endsAt);
  const text = s.matchers.map(matcherText).join(", ");
  return (
    <tr data-row tabIndex={-1} class={over ? "dim" : ""} data-silence={s.id}>
      <th scope="row">
        <code>{text}</code>
      </th>
      <td data-label="state">
        <State tone={TONE[state] ?? "plain"}>{over ? "ended" : state}</State>
      </td>
      <td data-label="why">
        {s.comment} <span class="dim">by {s.createdBy}</span>
      </td>
      <Num name="alerts">
        {over ? "–" : alerts.filter((a) => a.status.silencedBy.includes(s.id)).length}
      </Num>
      <td data-label={state === "pending" ? "begins" : "ends"} class="num" title={stamp(edge)}>
        {over ? stamp(edge).slice(0, 16) : `${state === "pending" ? "begins " : ""}in ${duration(edge - now.value)}`}
      </td>
      <td class="num">
        {!over && (
          <Act
            needs="deployer"
            kind="small"
            change={() => ({
              title: "End this silence?",
              text: (
                <>
                  Alerts with <code>{text}</code> are told again.
                </>
              ),
              verb: "End it",
              done: "the silence has ended",
              act: async () => {
                await request(`/api/v2/silence/${encodeURIComponent(s.id)}`, { method: "DELETE" });
                again();
              },
            })}
          >
            End<span class="hidden"> the silence of {text}</span>
          </Act>
        )}
      </td>
    </tr>
  );
}

export function Silences({ s, filter, again }: { s: AlertState; filter: string; again: () => void }) {
  const making = useSignal(false);
  const list = silencesInOrder(s.silences).filter((x) => !filter || `${x.matchers.map(matcherText)} ${x.comment} ${x.createdBy}`.toLowerCase().includes(filter));
  return (
    <section class="card" aria-labelledby="silences-title">
      <header class="head">
        <h2 id="silences-title">Silences</h2>
        <span class="dim">also those that ended in the last 5 days</span>
        {may("deployer") && (
          <p class="buttons">
            <button type="button" class="primary" onClick={() => (making.value = true)}>
              Add a silence …
            </button>
          </p>
        )}
      </header>
      {list.length === 0 ? (
        <Empty>{filter ? "No silence like that." : "No silence: everybody is told."}</Empty>
      ) : (
        <table class="rows stack">
          <caption class="hidden">Silences</caption>
          <Columns of={["alerts with", "state", "why", "#keeps back", "#ends", "_action"]} />
          <tbody>
            {list.map((x) => (
              <Row key={x.id} s={x} alerts={s.alerts} again={again} />
            ))}
          </tbody>
        </table>
      )}
      {making.value && <SilenceDialog from={[]} alerts={s.alerts} close={() => (making.value = false)} done={again} />}
    </section>
  );
}
