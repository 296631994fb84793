// The first requests that failed, with what was answered and the replica's log lines around that moment.
import { useSignal } from "@preact/signals";
import { problemOf, readLog } from "../lib/api";
import { clock } from "../lib/format";
import type { Failure, LogLine, Problem, Rollout } from "../lib/types";
import { Trouble } from "../ui/bits";

const around = (r: Rollout, f: Failure) =>
  readLog({ app: r.app, replica: String(f.replica), since: String(f.ts_ms - 1000), until: String(f.ts_ms + 1000), order: "oldest", limit: "50" });

const CAUSE: Record<string, string> = {
  connect: "no connection",
  closed: "connection closed",
  invalid: "not HTTP",
  timeout: "no answer in time",
  no_endpoint: "no replica",
};

function One({ r, f }: { r: Rollout; f: Failure }) {
  const shown = useSignal<LogLine[] | null>(null);
  const problem = useSignal<Problem | null>(null);
  const open = async () => {
    try {
      shown.value = await around(r, f);
    } catch (error) {
      problem.value = problemOf(error);
    }
  };
  return (
    <li class="failure">
      <p>
        <time dateTime={new Date(f.ts_ms).toISOString()}>{clock(f.ts_ms)}</time>{" "}
        <code>
          {f.method} {f.path}
        </code>{" "}
        <b class="bad">{f.cause === "status" ? f.status : (CAUSE[f.cause] ?? f.cause)}</b>{" "}
        <span class="dim">
          replica {f.replica}, request {f.request_id}
        </span>
      </p>
      {f.body && <pre>{f.body}</pre>}
      {problem.value && <Trouble problem={problem.value} />}
      {shown.value === null ? (
        <button type="button" class="small" onClick={open}>
          log lines of replica {f.replica} around it
        </button>
      ) : (
        <pre class="loglines" tabIndex={0} role="region" aria-label={`Log lines around ${f.request_id}`}>
          {shown.value.length === 0 ? "no line within a second of it" : shown.value.map((l) => `${l.ts.slice(11, 23)} ${l.level.padEnd(5)} ${l.text}`).join("\n")}
        </pre>
      )}
    </li>
  );
}

export function Failures({ r }: { r: Rollout }) {
  if (!r.first_failures.length) return null;
  return (
    <section class="card" aria-labelledby="failures-title">
      <h2 id="failures-title">First failures</h2>
      <ol>
        {r.first_failures.map((f) => (
          <One key={f.request_id || f.ts_ms} r={r} f={f} />
        ))}
      </ol>
    </section>
  );
}
