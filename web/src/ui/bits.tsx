// Small parts that every page is made of.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { ago, stamp } from "../lib/format";
import { now } from "../lib/time";
import type { Column, Problem } from "../lib/types";

export type Tone = "good" | "warn" | "bad" | "busy" | "plain";

export const SIGN: Record<Tone, string> = { good: "✓", warn: "▲", bad: "✕", busy: "◌", plain: "·" };

// A state: sign and word, never the colour alone.
export function State({ tone, children, title }: { tone: Tone; children: ComponentChildren; title?: string }) {
  return (
    <span class={`state ${tone}`} title={title}>
      <span aria-hidden="true">{SIGN[tone]}</span> {children}
    </span>
  );
}

export function toneOfPhase(phase: string): Tone {
  if (phase === "running" || phase === "ready") return "good";
  if (phase === "degraded" || phase === "crashloop" || phase === "crash_loop" || phase === "failed") return "bad";
  if (phase === "starting" || phase === "waiting" || phase === "updating") return "busy";
  return "plain";
}

export function Ago({ ms }: { ms: number }) {
  if (!ms) return <>–</>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={stamp(ms)}>
      {ago(ms, now.value)}
    </time>
  );
}

// The problem as the API said it: what, where, and what to do.
export function Trouble({ problem, again }: { problem: Problem; again?: () => void }) {
  const place = problem.place;
  return (
    <div class="trouble" role="alert">
      <p>
        <b>{problem.detail ?? problem.title}</b> {problem.code && <code>{problem.code}</code>}
      </p>
      {problem.facts && <p>{problem.facts}</p>}
      {place && (
        <pre>
          {place.file}:{place.line}:{place.column}
          {place.snippet !== undefined && `\n${String(place.line).padStart(5)} | ${place.snippet}\n      | ${" ".repeat(Math.max(0, (place.caret ?? 1) - 1))}^`}
        </pre>
      )}
      {problem.hint && <p class="hint">{problem.hint}</p>}
      {again && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

// What came of a question, when it is no answer.
export const Failed = ({ of }: { of: { problem: Problem | null; again: () => void } }) => of.problem && <Trouble problem={of.problem} again={of.again} />;

// A page of one thing that is not there yet, or not at all.
export function Reading({ title, problem, again }: { title: string; problem: Problem | null; again: () => void }) {
  return (
    <>
      <h1>{title}</h1>
      {problem ? <Trouble problem={problem} again={again} /> : <Empty>Reading …</Empty>}
    </>
  );
}

// Text with `names` in it.
export function Prose({ text }: { text: string }) {
  return <span>{text.split("`").map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</span>;
}

// The head of a table: "#" before the name of a column of numbers, "_" before one that is only said.
export function Columns({ of }: { of: string[] }) {
  return (
    <thead>
      <tr>
        {of.map((name) => (
          <th key={name} scope="col" class={name[0] === "#" ? "num" : undefined}>
            {name[0] === "_" ? <span class="hidden">{name.slice(1)}</span> : name.replace("#", "")}
          </th>
        ))}
      </tr>
    </thead>
  );
}

// A number of a row; its name is shown where rows are cards.
export function Num({ name, dim, title, children }: { name: string; dim?: boolean; title?: string; children: ComponentChildren }) {
  return (
    <td data-label={name} class={`num ${dim ? "dim" : ""}`} title={title}>
      {children}
    </td>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

// What a screen reader is told: verdicts, lost connections, what was done.
export const announced = signal("");
// The same once more is news as well.
export const announce = (text: string) => (announced.value = text === announced.peek() ? `${text}\u00a0` : text);

export function Announcer() {
  return (
    <div class="hidden" aria-live="polite" role="status" data-announcer>
      {announced}
    </div>
  );
}

// A share as a bar with its number; `zero` is where "nothing left" begins.
export function Bar({ share, label, tone }: { share: number; label: string; tone: Tone }) {
  const width = Math.max(0, Math.min(1, share)) * 100;
  return (
    <span class={`bar ${tone}`} role="img" aria-label={label} title={label}>
      <span style={{ width: `${width}%` }} />
    </span>
  );
}

// A line without axes, drawn as SVG: there may be hundreds on a page. The newest value is a dot, which is all there is
// of a platform's first minutes.
export function Spark({ values, label, limit }: { values: Column; label: string; limit?: number }) {
  const w = 96;
  const h = 22;
  const some = values.filter((v): v is number => v !== null);
  if (!some.length) return <span class="spark none" role="img" aria-label={`${label}: no samples`} />;
  const top = Math.max(...some, limit ?? 0) || 1;
  const x = (i: number) => (i / Math.max(values.length - 1, 1)) * (w - 5) + 2;
  const y = (v: number) => h - 3 - (v / top) * (h - 6);
  let path = "";
  let pen = false;
  let last = 0;
  values.forEach((v, i) => {
    if (v === null) pen = false;
    else {
      path += `${pen ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
      pen = true;
      last = i;
    }
  });
  return (
    <svg class="spark" width={w} height={h} viewBox={`0 0 ${w} ${h}`} role="img" aria-label={label}>
      {limit !== undefined && <line x1="0" x2={w} y1={y(limit)} y2={y(limit)} class="limit" />}
      <path d={path} />
      <circle cx={x(last)} cy={y(values[last]!)} r="2" />
    </svg>
  );
}

// The focus goes back to where it was. What was done often takes that button away, at once or with the next news: then
// to its row, or to the page.
function giveBack(before: HTMLElement | null) {
  const row = before?.closest<HTMLElement>("[data-row]");
  const focus = () => [before, row, document.getElementById("main")].find((e) => e?.isConnected)?.focus({ preventScroll: true });
  focus();
  const watch = new MutationObserver(() => {
    if (!before?.isConnected && document.activeElement === document.body) focus();
  });
  watch.observe(document.body, { childList: true, subtree: true });
  setTimeout(() => watch.disconnect(), 10_000);
}

// A modal dialog; Escape and a click beside it close it.
export function Dialog({ title, children, close }: { title: string; children: ComponentChildren; close: () => void }) {
  const box = useRef<HTMLDialogElement>(null);
  // Not after the next frame: a key that is pressed meanwhile must find the focus where it belongs.
  useLayoutEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    const dialog = box.current!;
    dialog.showModal();
    return () => {
      dialog.close();
      giveBack(before);
    };
  }, []);
  return (
    <dialog
      ref={box}
      aria-labelledby="dialog-title"
      onCancel={(e) => {
        e.preventDefault();
        close();
      }}
      onClick={(e) => {
        if (e.target === box.current) close();
      }}
    >
      <div class="dialog">
        <h2 id="dialog-title">{title}</h2>
        {children}
      </div>
    </dialog>
  );
}

// What was opened of a list, beside it; Escape closes it.
export function Aside({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  return (
    <aside
      class="card logline"
      aria-labelledby="aside-title"
      onKeyDown={(e) => {
        if (e.key !== "Escape") return;
        e.stopPropagation();
        close();
      }}
    >
      <header>
        <h2 id="aside-title">{title}</h2>
        <button type="button" class="quiet small" onClick={close}>
          Close
        </button>
      </header>
      {children}
    </aside>
  );
}

// A table of names and values.
export function Members({ of, label }: { of: [string, ComponentChildren][]; label: string }) {
  return (
    <table class="members">
      <caption>{label}</caption>
      <tbody>
        {of.map(([key, value]) => (
          <tr key={key}>
            <th scope="row">{key}</th>
            <td>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

// An entry of a journal: when, and what.
export function Entry({ ms, when, tone, n = 1, children, ...more }: { ms: number; when?: string; tone: Tone; n?: number; children: ComponentChildren; class?: string; title?: string }) {
  const { title, ...rest } = more;
  return (
    <li {...rest}>
      {when ? (
        <time dateTime={new Date(ms).toISOString()} title={stamp(ms)}>
          {when}
        </time>
      ) : (
        <Ago ms={ms} />
      )}
      <State tone={tone} title={title}>
        {children}
        {n > 1 && <span class="dim"> {n} times</span>}
      </State>
    </li>
  );
}

// A figure with its name: the row of numbers at the head of a page.
export function Figure({ name, children, tone, title }: { name: string; children: ComponentChildren; tone?: Tone; title?: string }) {
  return (
    <div class={`figure ${tone ?? ""}`} title={title}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
