// The configuration: the file in force, what it means with all defaults, and a place to check a changed one. Nothing is
// applied from here: the file on the machine is the truth.
import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { post, problemOf } from "../lib/api";
import { ofLine } from "../lib/changes";
import { useGet } from "../lib/resource";
import { param, setQuery } from "../lib/route";
import type { Config, Problem } from "../lib/types";
import { Ago, announce, Empty, Failed, State, Trouble } from "../ui/bits";
import { Changes } from "../ui/changes";

const VIEWS: [string, string][] = [
  ["", "The file"],
  ["effective", "With all defaults"],
  ["check", "Check a change"],
];

function Numbered({ text, label, mark }: { text: string; label: string; mark?: number }) {
  const lines = text.replace(/\n$/, "").split("\n");
  return (
    <div class="numbered" tabIndex={0} role="region" aria-label={label}>
      <ol>
        {lines.map((line, i) => (
          <li key={i} aria-current={mark === i + 1 ? "true" : undefined}>
            <code>{line || " "}</code>
          </li>
        ))}
      </ol>
    </div>
  );
}

interface Checked {
  text: string;
  changes: string[] | null;
  problem: Problem | null;
}

function Outcome({ c, stale, file }: { c: Checked; stale: boolean; file: string }) {
  return (
    <section aria-labelledby="outcome-title">
      <h3 id="outcome-title">What would happen{stale && <span class="dim"> (the text was edited since)</span>}</h3>
      {c.problem && <Trouble problem={c.problem} />}
      {c.problem?.code && (
        <p class="hint">
          <code>headgate help {c.problem.code}</code> says more.
        </p>
      )}
      {c.problem?.place && c.problem.place.file === file && <Numbered text={c.text} label="The text that was checked" mark={c.problem.place.line} />}
      {c.changes && c.changes.length === 0 && <State tone="good">It is valid, and nothing would change.</State>}
      {c.changes && c.changes.length > 0 && (
        <>
          <p>
            <State tone="good">It is valid. This would change:</State>
          </p>
          <Changes of={c.changes.map(ofLine)} label="What would change" />
        </>
      )}
    </section>
  );
}

function Check({ config }: { config: Config }) {
  const box = useRef<HTMLTextAreaElement>(null);
  const text = useSignal(config.text);
  const checked = useSignal<Checked | null>(null);
  const busy = useSignal(false);
  const run = async (e: Event) => {
    e.preventDefault();
    if (busy.peek()) return;
    busy.value = true;
    const tried = text.peek();
    try {
      const { file, dir, environment } = config;
      const answer = await post<{ changes: string[] }>("/v1/reload", { text: tried, file, dir, ...(environment ? { environment } : {}), dry_run: true });
      checked.value = { text: tried, changes: answer.changes, problem: null };
      announce(answer.changes.length ? `valid, ${answer.changes.length} changes` : "valid, nothing would change");
    } catch (error) {
      checked.value = { text: tried, changes: null, problem: problemOf(error) };
    } finally {
      busy.value = false;
    }
  };
  const jump = () => {
    const place = checked.peek()?.problem?.place;
    if (!place || !box.current) return;
    const lines = text.peek().split("\n");
    const at = lines.slice(0, place.line - 1).reduce((n, l) => n + l.length + 1, 0) + place.column - 1;
    box.current.focus();
    box.current.setSelectionRange(at, at);
  };
  return (
    <form onSubmit={run}>
      <label class="field">
        The file as it would be
        <textarea
          ref={box}
          class="mono"
          rows={Math.min(28, Math.max(12, text.value.split("\n").length + 1))}
          spellcheck={false}
          autocomplete="off"
          wrap="off"
          value={text}
          onInput={(e) => (text.value = e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) void run(e);
          }}
          data-search
        />
      </label>
      <p class="buttons">
        <button type="button" onClick={() => (text.value = config.text)} disabled={text.value === config.text}>
          Back to the file in force
        </button>
        {checked.value?.problem?.place && (
          <button type="button" onClick={jump}>
            Go to line {checked.value.problem.place.line}
          </button>
        )}
        <button type="submit" class="primary" disabled={busy}>
          Check
        </button>
      </p>
      {checked.value && <Outcome c={checked.value} stale={checked.value.text !== text.value} file={config.file} />}
      <p class="hint">
        A check changes nothing, and this page applies nothing: the file on the machine is the truth, so that what runs is what is in your repository and after a restart it
        is the same. Put the text into <code>{config.file}</code> and run <code>headgate reload</code>: it checks all of it, then applies all of it or nothing.
      </p>
    </form>
  );
}

export function Configuration() {
  const asked = useGet<Config>("/v1/config");
  const view = param("view");
  const c = asked.data;
  return (
    <>
      <header class="head">
        <h1>Configuration</h1>
        {c && (
          <span class="dim">
            <code>{c.file}</code>
            {c.environment && <> for {c.environment}</>}, applied <Ago ms={c.applied_ms} />
          </span>
        )}
        <span class="space" />
        <div class="tabs" role="group" aria-label="What is shown">
          {VIEWS.map(([value, name]) => (
            <button key={value} type="button" aria-pressed={view === value} onClick={() => setQuery({ view: value })}>
              {name}
            </button>
          ))}
        </div>
      </header>
      <Failed of={asked} />
      {c && (
        <section class="card" aria-label={VIEWS.find(([value]) => value === view)?.[1]}>
          {view === "check" ? (
            <Check config={c} />
          ) : view === "effective" ? (
            c.effective ? (
              <Numbered text={c.effective} label="The configuration with all defaults" />
            ) : (
              <Empty>Control is not ready yet: it has not said what the file means.</Empty>
            )
          ) : (
            <Numbered text={c.text} label="The file in force" />
          )}
        </section>
      )}
    </>
  );
}
