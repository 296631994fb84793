// The replicas of an app, as blocks and as a table.
import { bytes, clock, count, number, ratio, stamp, when } from "../lib/format";
import { href, param } from "../lib/route";
import { now } from "../lib/time";
import type { App, Replica } from "../lib/types";
import { Ago, Bar, Columns, Empty, Num, State } from "../ui/bits";
import { AT_ONCE, Blocks, shown, toneOfReplica, wordOfReplica } from "./apps";

// What is used, and of what: a bar only where there is a limit.
function Used({ used, limit, text, what }: { used: number; limit: number; text: (v: number) => string; what: string }) {
  if (!limit) return <>{text(used)}</>;
  const share = used / limit;
  return (
    <span class="used">
      <Bar share={share} tone={share > 0.95 ? "bad" : share > 0.8 ? "warn" : "busy"} label={`${what}: ${ratio(share)} of ${text(limit)}`} /> {text(used)} <span class="dim">of {text(limit)}</span>
    </span>
  );
}

const cores = (v: number) => number(v, 2);

function Last({ r }: { r: Replica }) {
  const waits = r.next_start_ms > now.value;
  return (
    <>
      {r.reason && <span>{r.reason}</span>}
      {r.exit && r.exit.at_ms > 0 && (
        <span class="dim" title={stamp(r.exit.at_ms)}>
          {r.reason && ", "}
          {r.exit.out_of_memory ? "out of memory" : r.exit.text} at {when(r.exit.at_ms, now.value)}
        </span>
      )}
      {waits && <span class="dim">, started again at {clock(r.next_start_ms)}</span>}
      {!r.reason && !r.exit?.at_ms && !waits && <span class="dim">–</span>}
    </>
  );
}

function Row({ a, r }: { a: App; r: Replica }) {
  return (
    <tr data-row tabIndex={-1} data-replica={r.replica}>
      <th scope="row">
        <a href={href(["logs"], { app: a.name, replica: r.replica })} data-open title={`log lines of replica ${r.replica}`}>
          {r.replica}
        </a>
      </th>
      <td data-label="state">
        <State tone={toneOfReplica(r)}>
          {wordOfReplica(r)}
          {r.crash_loop && r.state === "ready" && ", crashed before"}
        </State>
      </td>
      <Num name="release">
        {r.release}
      </Num>
      <Num name="since">
        <Ago ms={r.since_ms} />
      </Num>
      <Num name="restarts" dim={!r.restarts}>
        {count(r.restarts)}
      </Num>
      <td data-label="last" class="long">
        <Last r={r} />
      </td>
      <Num name="CPU" title={`kept by ${r.limits.cpu_keeper || "nothing: no limit"}`}>
        <Used used={r.cpu} limit={r.limits.cpu} text={cores} what="CPU" />
      </Num>
      <Num name="memory" title={`kept by ${r.limits.memory_keeper || "nothing: no limit"}`}>
        <Used used={r.memory_bytes} limit={r.limits.memory_bytes} text={bytes} what="memory" />
      </Num>
      <Num name="in flight">
        {r.in_flight}
      </Num>
      <Num name="at" title={r.pid > 0 ? `process ${r.pid}` : undefined}>
        <code>{r.address || "–"}</code>
      </Num>
    </tr>
  );
}

export function Replicas({ a }: { a: App }) {
  const list = [...(a.replicas ?? [])].sort((x, y) => y.release - x.release || x.replica - y.replica);
  return (
    <section class="card replicas" aria-labelledby="replicas-title">
      <h2 id="replicas-title">Replicas</h2>
      {list.length === 0 ? (
        <Empty>{a.desired ? "No replica yet." : "Scaled to 0: nothing runs, the edge answers 503."}</Empty>
      ) : (
        <>
          <Blocks app={{ ...a, replicas: list }} large />
          <div class="scroll" tabIndex={0} role="region" aria-label="Table of replicas">
            <table class="rows stack">
              <caption class="hidden">Replicas of {a.name}</caption>
              <Columns of={["nr", "state", "#release", "#since", "#restarts", "why, last exit", "#CPU cores", "#memory", "#in flight", "#at"]} />
              <tbody>
                {(param("all") ? list : shown(list, AT_ONCE)).map((r) => (
                  <Row key={`${r.release} ${r.replica}`} a={a} r={r} />
                ))}
              </tbody>
            </table>
          </div>
          {!param("all") && list.length > AT_ONCE && <a href={href(["apps", a.name], { all: "1" })}>show all {count(list.length)}</a>}
        </>
      )}
    </section>
  );
}
