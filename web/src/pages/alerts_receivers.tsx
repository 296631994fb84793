// Receivers: who can be told, who cannot and why, and a test.
import { useSignal } from "@preact/signals";
import { failing, type Failed as Failure } from "../lib/alerts";
import { post, problemOf } from "../lib/api";
import { clock, duration, stamp } from "../lib/format";
import { useGet } from "../lib/resource";
import { may } from "../lib/session";
import { now } from "../lib/time";
import type { Problem } from "../lib/types";
import type { AlertGroup } from "../lib/types_ops";
import { announce, Columns, Empty, Failed, Num, State, Trouble, type Tone } from "../ui/bits";
import type { AlertState } from "./alerts";

interface Channel {
  channel: string;
  delivered: boolean;
  answer: string;
}

// When a channel failed the problem holds all of them.
function channelsOf(problem: Problem): Channel[] | null {
  try {
    const list: unknown = JSON.parse(problem.facts ?? "");
    return Array.isArray(list) ? (list as Channel[]) : null;
  } catch {
    return null;
  }
}

function Test({ name }: { name: string }) {
  const busy = useSignal(false);
  const told = useSignal<Channel[] | null>(null);
  const problem = useSignal<Problem | null>(null);
  const run = async () => {
    busy.value = true;
    told.value = problem.value = null;
    try {
      told.value = (await post<{ channels: Channel[] }>(`/v1/receivers/${encodeURIComponent(name)}/test`)).channels;
    } catch (error) {
      const p = problemOf(error);
      told.value = channelsOf(p);
      if (!told.value) problem.value = p;
    } finally {
      busy.value = false;
    }
    announce(problem.value ? "the test failed" : `${name}: ${told.value!.map((c) => `${c.channel} ${c.delivered ? "took it" : "did not take it"}`).join(", ")}`);
  };
  return (
    <>
      {may("deployer") && (
        <button type="button" class="small" disabled={busy} onClick={run}>
          {busy.value ? "Asking …" : "Send a test"}
          <span class="hidden"> to {name}</span>
        </button>
      )}
      {told.value && (
        <ul class="notes">
          {told.value.map((c, i) => (
            <li key={i}>
              <State tone={c.delivered ? "good" : "bad"}>
                {c.channel} {c.delivered ? "took it" : "did not take it"}
              </State>{" "}
              <span class="dim">{c.answer}</span>
            </li>
          ))}
        </ul>
      )}
      {problem.value && <Trouble problem={problem.value} />}
    </>
  );
}

export function againText(f: Failure): string {
  const left = f.next_ms - now.value;
  return left > 1000 ? `next attempt in ${duration(left)}` : "next attempt now";
}

// Said above all else of alerts: whoever relies on a receiver that fails is not woken.
export function NotTold({ groups }: { groups: AlertGroup[] }) {
  const list = failing(groups);
  if (!list.length) return null;
  return (
    <section class="trouble" aria-label="Receivers that fail">
      {list.map((f) => (
        <p key={f.receiver} data-failing={f.receiver}>
          <State tone="bad">
            <b>{f.receiver} cannot be told</b>
            {f.groups > 1 && ` of ${f.groups} groups of alerts`}
          </State>{" "}
          since <time dateTime={new Date(f.since_ms).toISOString()} title={stamp(f.since_ms)}>{clock(f.since_ms)}</time> ({duration(now.value - f.since_ms)}): {f.channel} {f.why}. Tried {f.attempts} {f.attempts === 1 ? "time" : "times"}, {againText(f)}.
        </p>
      ))}
    </section>
  );
}

function standing(own: AlertGroup[]): [Tone, string] {
  if (own.some((g) => g.last === "failed")) return ["bad", "cannot be told"];
  if (own.some((g) => g.last === "being sent")) return ["busy", "is being told"];
  return own.some((g) => g.last === "waiting") ? ["busy", "not told yet"] : own.length ? ["good", "was told"] : ["plain", "nothing to tell"];
}

export function Receivers({ s }: { s: AlertState }) {
  const asked = useGet<{ name: string }[]>("/api/v2/receivers");
  const list = asked.data ?? [];
  return (
    <section class="card" aria-labelledby="receivers-title">
      <h2 id="receivers-title">Receivers</h2>
      <Failed of={asked} />
      {asked.data && !list.length && (
        <Empty>
          Nobody can be told: name one with <code>{"alerts: {receivers: {team: {slack: SLACK_WEBHOOK_URL}}}"}</code>
        </Empty>
      )}
      {list.length > 0 && (
        <table class="rows stack">
          <caption class="hidden">Receivers</caption>
          <Columns of={["receiver", "state", "#groups of alerts", "#next look", "test"]} />
          <tbody>
            {list.map((r) => {
              const own = s.groups.filter((g) => g.receiver.name === r.name);
              const next = Math.min(...own.map((g) => Date.parse(g.nextFlush)));
              const [tone, word] = standing(own);
              return (
                <tr key={r.name} data-row tabIndex={-1} data-receiver={r.name}>
                  <th scope="row">{r.name}</th>
                  <td data-label="state">
                    <State tone={tone}>{word}</State>
                  </td>
                  <Num name="groups">{own.length}</Num>
                  <Num name="next look">{own.length ? (next > now.value ? `in ${duration(next - now.value)}` : "now") : "–"}</Num>
                  <td data-label="test">
                    <Test name={r.name} />
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
    </section>
  );
}
