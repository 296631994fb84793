// A dialog with fields of its own: carried out once, its failure shown in it.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { problemOf } from "../lib/api";
import type { Problem } from "../lib/types";
import { announce, Dialog, Trouble } from "./bits";

export interface FormProps {
  title: string;
  verb: string;
  danger?: boolean;
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
    <Dialog title={p.title} close={() => !busy.peek() && p.close()}>
      <form onSubmit={run}>
        {p.children}
        {problem.value && <Trouble problem={problem.value} />}
        <p class="buttons">
          <button type="button" onClick={p.close} disabled={busy}>
            Cancel
          </button>
          <button type="submit" class={p.danger ? "danger" : "primary"} disabled={busy}>
            {p.verb}
          </button>
        </p>
      </form>
    </Dialog>
  );
}
