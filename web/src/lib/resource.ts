// Data that is asked for: kept while it is asked for again, with its problem when that fails.
import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { problemOf } from "./api";
import { now } from "./time";
import type { Problem } from "./types";

export interface Resource<T> {
  data: T | null;
  problem: Problem | null;
  loading: boolean;
  again: () => void;
}

// Asks whenever one of `needs` changes; a later question makes an earlier answer void.
export function useResource<T>(ask: (signal: AbortSignal) => Promise<T>, needs: unknown[]): Resource<T> {
  const state = useSignal<{ data: T | null; problem: Problem | null; loading: boolean }>({ data: null, problem: null, loading: true });
  const turn = useSignal(0);
  useEffect(() => {
    const abort = new AbortController();
    state.value = { ...state.peek(), loading: true };
    ask(abort.signal).then(
      (data) => {
        if (!abort.signal.aborted) state.value = { data, problem: null, loading: false };
      },
      (error) => {
        if (!abort.signal.aborted) state.value = { data: state.peek().data, problem: problemOf(error), loading: false };
      },
    );
    return () => abort.abort();
  }, [...needs, turn.value]);
  return { ...state.value, again: () => turn.value++ };
}

// Changes every `ms`: among the needs of what is asked for again and again.
export function useTurn(ms: number): number {
  return useComputed(() => Math.floor(now.value / ms)).value;
}
