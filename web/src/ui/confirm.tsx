// Changes: asked for once more, carried out once, their failure shown where they were asked for.
import { signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { problemOf } from "../lib/api";
import { may } from "../lib/session";
import type { Problem, Role } from "../lib/types";
import { announce, Dialog, Trouble } from "./bits";

export interface Change {
  title: string;
  text: ComponentChildren;
  verb: string; // what the button says
  danger?: boolean;
  done: string; // what is announced afterwards
  field?: { label: string; required?: boolean; value?: string };
  act: (text: string) => Promise<unknown>;
}

const asked = signal<Change | null>(null);

export const ask = (change: Change) => (asked.value = change);

export function Confirm() {
  return asked.value ? <Asked key={asked.value.title} change={asked.value} /> : null;
}

function Asked({ change }: { change: Change }) {
  const busy = useSignal(false);
  const problem = useSignal<Problem | null>(null);
  const input = useRef<HTMLInputElement>(null);
  const close = () => {
    if (!busy.peek()) asked.value = null;
  };
  const run = async (e: Event) => {
    e.preventDefault();
    if (busy.peek()) return;
    busy.value = true;
    problem.value = null;
    try {
      await change.act(input.current?.value.trim() ?? "");
      announce(change.done);
      asked.value = null;
    } catch (error) {
      problem.value = problemOf(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <Dialog title={change.title} close={close}>
      <form onSubmit={run}>
        <div class="text">{change.text}</div>
        {change.field && (
          <label class="field">
            {change.field.label}
            <input ref={input} required={change.field.required} defaultValue={change.field.value} maxLength={500} autofocus />
          </label>
        )}
        {problem.value && <Trouble problem={problem.value} />}
        <p class="buttons">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class={change.danger ? "danger" : "primary"} disabled={busy} autofocus={!change.field}>
            {change.verb}
          </button>
        </p>
      </form>
    </Dialog>
  );
}

// A button for who may press it; others do not see it.
export function Act({ needs, change, children, kind, disabled }: { needs: Role; change: () => Change; children: ComponentChildren; kind?: string; disabled?: boolean }) {
  if (!may(needs)) return null;
  return (
    <button type="button" class={kind} disabled={disabled} onClick={() => ask(change())}>
      {children}
    </button>
  );
}
