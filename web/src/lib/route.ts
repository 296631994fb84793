// Where the user is: everything that can be sent to a colleague is in the address, behind its "#".
import { computed, signal } from "@preact/signals";

export interface Place {
  path: string[];
  query: URLSearchParams;
}

function parse(hash: string): Place {
  const text = hash.replace(/^#\/?/, "");
  const at = text.indexOf("?");
  const path = at < 0 ? text : text.slice(0, at);
  return {
    path: path.split("/").filter(Boolean).map(decodeSafely),
    query: new URLSearchParams(at < 0 ? "" : text.slice(at + 1)),
  };
}

function decodeSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const place = signal<Place>(parse(location.hash));
addEventListener("hashchange", () => (place.value = parse(location.hash)));

export const page = computed(() => place.value.path[0] ?? "overview");

export function href(path: string[], query: Record<string, string | number | undefined> = {}): string {
  const q = new URLSearchParams();
  for (const key of KEPT) {
    const value = place.value.query.get(key);
    if (value) q.set(key, value);
  }
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined || value === "") q.delete(key);
    else q.set(key, String(value));
  }
  const text = q.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

// The time range goes along from page to page.
const KEPT = ["from", "to"];

export function go(path: string[], query: Record<string, string | number | undefined> = {}) {
  location.hash = href(path, query);
}

// Changes parameters of the present address; no new entry of the history for what is typed.
export function setQuery(changes: Record<string, string | number | undefined>) {
  const q = new URLSearchParams(place.peek().query);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined || value === "") q.delete(key);
    else q.set(key, String(value));
  }
  const text = q.toString();
  const path = place.peek().path.map(encodeURIComponent).join("/");
  history.replaceState(null, "", `#/${path}${text ? `?${text}` : ""}`);
  place.value = parse(location.hash);
}

export const param = (name: string, otherwise = "") => place.value.query.get(name) ?? otherwise;
