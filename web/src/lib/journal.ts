// Entries of the journal, newest first: what the stream brought, and what was there before it.
import { useMemo } from "preact/hooks";
import { get } from "./api";
import { events } from "./live";
import { useResource } from "./resource";
import type { Event } from "./types";

const AGAIN = 200; // entries: before the stream's oldest ones are dropped

// `more`: the stream alone does not do. Of all apps with an empty name.
export function useJournal(app: string, more = true, needs: unknown[] = []): Event[] {
  const newer = events.value;
  const before = useResource<{ events: Event[] } | null>(
    (signal) => (more ? get(`/v1/events?limit=1000${app ? `&app=${encodeURIComponent(app)}` : ""}`, signal) : Promise.resolve(null)),
    [app, more, ...needs],
    [Math.floor((newer[0]?.id ?? 0) / AGAIN)],
  );
  return useMemo(() => {
    const all = new Map([...(before.data?.events ?? []), ...newer].map((e) => [e.id, e]));
    return [...all.values()].filter((e) => !app || e.app === app).sort((a, b) => b.id - a.id);
  }, [before.data, newer, app]);
}
