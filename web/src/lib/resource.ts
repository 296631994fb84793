// Data that is asked for: kept while it is asked for again, with its problem when that fails.
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { get, problemOf } from "./api";
import { events } from "./live";
import { now } from "./time";
import type { Problem } from "./types";

export interface Resource<T> {
  data: T | null;
  problem: Problem | null;
  loading: boolean;
  again: () => void;
}

// Asks whenever one of `needs` changes: a later question makes an earlier answer void. What changes in `news` is a reason
// to ask the same once more, but not before the answer has come: however much happens, there is one question at a time,
// and each of them is answered.
export function useResource<T>(ask: (signal: AbortSignal) => Promise<T>, needs: unknown[], news: unknown[] = []): Resource<T> {
  const state = useSignal<{ data: T | null; problem: Problem | null; loading: boolean }>({ data: null, problem: null, loading: true });
  const turn = useSignal(0);
  const s = useRef({ ask, told: news, more: () => {} }).current;
  s.ask = ask;
  useEffect(() => {
    const abort = new AbortController();
    let busy = false;
    let due = false;
    const more = async () => {
      due = busy;
      if (busy) return;
      busy = true;
      state.value = { ...state.peek(), loading: true };
      const found = await s.ask(abort.signal).then(
        (data) => ({ data, problem: null }),
        (error) => ({ data: state.peek().data, problem: problemOf(error) }),
      );
      if (abort.signal.aborted) return;
      state.value = { ...found, loading: false };
      busy = false;
      if (due) void more();
    };
    s.more = more;
    s.told = news;
    void more();
    return () => abort.abort();
  }, [...needs, turn.value]);
  useEffect(() => {
    if (s.told !== news) s.more();
  }, news);
  return { ...state.value, again: () => turn.value++ };
}

export const useGet = <T>(path: string, ...news: unknown[]): Resource<T> => useResource((signal) => get<T>(path, signal), [path], news);

// The newest entry of the journal of such a kind: among the news of what the journal tells about.
export const useTold = (kind: RegExp, app = ""): number => useComputed(() => events.value.find((e) => kind.test(e.kind) && (!app || e.app === app))?.id ?? 0).value;

// Changes every `ms`: among the needs of what is asked for again and again.
export function useTurn(ms: number): number {
  return useComputed(() => Math.floor(now.value / ms)).value;
}
