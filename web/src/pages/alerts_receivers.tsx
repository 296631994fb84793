// Receivers: who can be told, what they were told last, and a test.
import { useSignal } from "@preact/signals";
import { get, post, problemOf } from "../lib/api";
import { duration } from "../lib/format";
import { useResource } from "../lib/resource";
import { may } from "../lib/session";
import { now } from "../lib/time";
import type { Problem } from "../lib/types";
import { announce, Columns, Empty, State, Trouble } from "../ui/bits";
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

export function Receivers({ s }: { s: AlertState }) {
  const asked = useResource((signal) => get<{ name: string }[]>("/api/v2/receivers", signal), []);
  const list = asked.data ?? [];
  return (
    <section class="card" aria-labelledby="receivers-title">
      <h2 id="receivers-title">Receivers</h2>
      {asked.problem && <Trouble problem={asked.problem} again={asked.again} />}
      {asked.data && !list.length && (
        <Empty>
          Nobody can be told: name one with <code>{"alerts: {receivers: {team: {slack: SLACK_WEBHOOK_URL}}}"}</code>
        </Empty>
      )}
      {list.length > 0 && (
        <table class="rows stack">
          <caption class="hidden">Receivers</caption>
          <Columns of={["receiver", "groups of alerts it has", "next look", "test"]} />
          <tbody>
            {list.map((r) => {
              const own = s.groups.filter((g) => g.receiver.name === r.name);
              const next = Math.min(...own.map((g) => Date.parse(g.nextFlush)));
              const failed = own.filter((g) => g.last === "failed").length;
              return (
                <tr key={r.name} data-row tabIndex={-1} data-receiver={r.name}>
                  <th scope="row">{r.name}</th>
                  <td data-label="groups">
                    {own.length} {failed > 0 && <State tone="bad">{failed} could not be told</State>}
                  </td>
                  <td data-label="next look">{own.length ? (next > now.value ? `in ${duration(next - now.value)}` : "now") : "–"}</td>
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
