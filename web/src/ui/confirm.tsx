// Changes: asked for once more, where and by whom they were asked for.
import { computed, signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { place } from "../lib/route";
import { may, token } from "../lib/session";
import type { Role } from "../lib/types";
import { FormDialog } from "./form";

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

// What is asked on a page is not asked on the next one, nor of whoever signs in next.
computed(() => `${place.value.path} ${token.value}`).subscribe(() => (asked.value = null));

export function Confirm() {
  const input = useRef<HTMLInputElement>(null);
  const change = asked.value;
  if (!change) return null;
  return (
    <FormDialog
      key={change.title}
      title={change.title}
      verb={change.verb}
      danger={change.danger}
      ready={!change.field}
      close={() => {
        if (asked.peek() === change) asked.value = null;
      }}
      act={async () => {
        await change.act(input.current?.value.trim() ?? "");
        return change.done;
      }}
    >
      <div class="text">{change.text}</div>
      {change.field && (
        <label class="field">
          {change.field.label}
          <input ref={input} required={change.field.required} defaultValue={change.field.value} maxLength={500} autofocus />
        </label>
      )}
    </FormDialog>
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
