// A dialog with something to carry out: once, its failure shown where it was asked for. It can be left at any time, also
// when no answer comes.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { problemOf } from "../lib/api";
import type { Problem } from "../lib/types";
import { announce, Dialog, Trouble } from "./bits";

export interface FormProps {
  title: string;
  verb: string; // what the button says
  danger?: boolean;
  ready?: boolean; // nothing is to be filled in: the button has the focus
  close: () => void;
  act: () => Promise<string>; // what is announced when it is done
  children: ComponentChildren;
}

export function FormDialog(p: FormProps) {
  const busy = useSignal(false);
  const problem = useSignal<Problem | null>(null);
  const run = async (e: Event) => {
    e.preventDefault();
    if (busy.peek()) return;
    busy.value = true;
    problem.value = null;
    try {
      announce(await p.act());
      p.close();
    } catch (error) {
      problem.value = problemOf(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <Dialog title={p.title} close={p.close}>
      <form onSubmit={run} aria-busy={busy}>
        {p.children}
        {problem.value && <Trouble problem={problem.value} />}
        <p class="buttons">
          <button type="button" onClick={p.close}>
            {busy.value ? "Do not wait" : "Cancel"}
          </button>
          <button type="submit" class={p.danger ? "danger" : "primary"} aria-disabled={busy} autofocus={p.ready}>
            {busy.value ? `${p.verb} …` : p.verb}
          </button>
        </p>
      </form>
    </Dialog>
  );
}
