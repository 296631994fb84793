// One line: all its members, where its ids lead, and the lines of its app around it. It is read by its cursor, so that
// its address works whatever is filtered and however old it is.
import { readLog } from "../lib/api";
import { stamp } from "../lib/format";
import { idsOf, msOf, said, timeOfLine, toneOfLevel } from "../lib/logtext";
import { href, setQuery } from "../lib/route";
import { useResource } from "../lib/resource";
import type { LogLine } from "../lib/types";
import { Aside, Empty, Failed, Members, State } from "../ui/bits";
import { Copy } from "../ui/copy";

const AROUND = 15;

interface Around {
  line: LogLine | null;
  lines: LogLine[];
}

async function around(cursor: string, signal: AbortSignal): Promise<Around> {
  const [ns, seq, ...name] = cursor.split("-");
  const app = name.join("-");
  // From just before the line: its sequence number, less one, at its time.
  const [before, after] = await Promise.all([
    readLog({ app, order: "newest", limit: String(AROUND), cursor }, signal),
    readLog({ app, order: "oldest", limit: String(AROUND + 1), cursor: `${ns}-${Math.max(0, Number(seq) - 1)}-${app}` }, signal),
  ]);
  return { line: after.find((l) => l.cursor === cursor) ?? null, lines: [...before.reverse(), ...after] };
}

function addressOf(line: LogLine): string {
  const ms = msOf(line);
  return `${location.origin}/${href(["logs"], { app: line.app, from: ms - 60_000, to: ms + 60_000, line: line.cursor })}`;
}

const valuesOf = (of: object) => Object.entries(of).map(([key, v]): [string, string] => [key, typeof v === "string" ? v : JSON.stringify(v, null, 1)]);

function Links({ line }: { line: LogLine }) {
  const { ids, rollout } = idsOf(said(line.text));
  return (
    <ul class="links">
      {rollout && (
        <li>
          <a href={href(["rollouts", rollout])}>rollout {rollout}</a>
        </li>
      )}
      {ids.map(([kind, id]) => (
        <li key={kind}>
          <a href={href(["logs"], { q: id })}>
            all lines of {kind} {id}
          </a>
        </li>
      ))}
      {line.release > 0 && (
        <li>
          <a href={href(["rollouts"], { app: line.app })}>releases of {line.app}</a>
        </li>
      )}
    </ul>
  );
}

function Neighbours({ all, cursor }: { all: LogLine[]; cursor: string }) {
  return (
    <ol class="around">
      {all.map((l) => (
        <li key={l.cursor} class={l.level} aria-current={l.cursor === cursor ? "true" : undefined}>
          <button type="button" class="quiet" onClick={() => setQuery({ line: l.cursor })}>
            <span class="dim">{timeOfLine(l)}</span> {(l.level === "error" || l.level === "warn") && <b class={l.level === "error" ? "bad" : ""}>{l.level} </b>}
            {said(l.text).message || l.text}
          </button>
        </li>
      ))}
    </ol>
  );
}

function Body({ line, lines }: { line: LogLine; lines: LogLine[] }) {
  const { text, ...rest } = line;
  const { members } = said(text);
  const ms = msOf(line);
  return (
    <>
      <p class="when">
        <State tone={toneOfLevel(line.level)}>{line.level}</State> {stamp(ms)}
        {line.ts.slice(19, 23)}
      </p>
      {!members && <pre class="said">{text}</pre>}
      <p class="buttons">
        <Copy text={text} what="the line" says="Copy line" />
        <Copy text={addressOf(line)} what="its address" says="Copy address" />
      </p>
      <Links line={line} />
      {members && <Members label="what it says" of={valuesOf(members)} />}
      <Members label="where it is from" of={valuesOf(rest)} />
      <h3 id="around-title">Lines of {line.app} around it</h3>
      <Neighbours all={lines} cursor={line.cursor} />
      <p>
        <a href={href(["logs"], { app: line.app, from: ms - 60_000, to: ms + 60_000, line: line.cursor })}>All of {line.app} a minute before and after</a>
      </p>
    </>
  );
}

export const focusList = () => document.querySelector<HTMLElement>(".loglist .vbody")?.focus({ preventScroll: true });

export function closeLine() {
  setQuery({ line: undefined });
  focusList();
}

export function LinePanel({ cursor }: { cursor: string }) {
  const asked = useResource((signal) => around(cursor, signal), [cursor]);
  return (
    <Aside title="One line" close={closeLine}>
      <Failed of={asked} />
      {asked.data?.line && <Body line={asked.data.line} lines={asked.data.lines} />}
      {asked.data && !asked.data.line && <Empty>This line is no longer in the store: it was older than what is kept.</Empty>}
    </Aside>
  );
}
