// The keyboard: "g o" goes to the overview, j and k walk through rows, "?" tells all of it.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { go } from "./route";

export interface Key {
  keys: string; // "g o", "/", "p"
  what: string;
  act: () => void;
}

export const helpOpen = signal(false);
export const tables = signal(false); // charts as tables
export const pageKeys = signal<Key[]>([]);

// The keys of a page: made anew with it, as they are about what it shows now.
export function usePageKeys(keys: Key[]) {
  useEffect(() => {
    pageKeys.value = keys;
  });
  useEffect(
    () => () => {
      pageKeys.value = [];
    },
    [],
  );
}

export const GOES: [string, string, string[]][] = [
  ["o", "Overview", ["overview"]],
  ["r", "Releases", ["rollouts"]],
  ["d", "Dashboards", ["dashboards"]],
  ["s", "Objectives", ["slo"]],
  ["a", "Alerts", ["alerts"]],
  ["i", "Incidents", ["incidents"]],
  ["l", "Logs", ["logs"]],
  ["p", "Apps", ["apps"]],
  ["u", "Audit", ["audit"]],
  ["c", "Configuration", ["config"]],
];

const ROW = "main [data-row]";
let first = ""; // of two keys
let firstAt = 0;

const typing = (e: KeyboardEvent) => {
  const t = e.target as HTMLElement;
  return t.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(t.tagName);
};

export function moveRow(by: number) {
  const rows = [...document.querySelectorAll<HTMLElement>(ROW)];
  if (!rows.length) return;
  const at = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
  rows[next]!.focus({ preventScroll: true });
  rows[next]!.scrollIntoView({ block: "nearest" });
}

function openRow(row: HTMLElement): boolean {
  const link = row.matches("a") ? row : row.querySelector<HTMLElement>("[data-open], a, button");
  link?.click();
  return !!link;
}

function one(key: string, e: KeyboardEvent): boolean {
  const own = pageKeys.peek().find((k) => k.keys === key);
  if (own) {
    own.act();
    return true;
  }
  switch (key) {
    case "?":
      helpOpen.value = !helpOpen.value;
      return true;
    case "/": {
      const box = document.querySelector<HTMLInputElement>("main [data-search]");
      box?.focus();
      box?.select();
      return !!box;
    }
    case "j":
      moveRow(1);
      return true;
    case "k":
      moveRow(-1);
      return true;
    case "t":
      tables.value = !tables.value;
      return true;
    case "Enter": {
      const row = e.target as HTMLElement;
      return row.matches?.("[data-row]") && !row.matches("a, button") ? openRow(row) : false;
    }
    default:
      return false;
  }
}

export function start() {
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return;
    const dialog = document.querySelector("dialog[open]");
    if (typing(e)) {
      if (e.key === "Escape") (e.target as HTMLElement).blur();
      return;
    }
    if (dialog) {
      if (e.key === "?" && helpOpen.peek()) helpOpen.value = false;
      return; // its own keys; Escape closes it
    }
    if (first === "g" && Date.now() - firstAt < 1500) {
      first = "";
      const to = GOES.find(([key]) => key === e.key);
      if (to) {
        go(to[2]);
        e.preventDefault();
        return;
      }
    }
    if (e.key === "g") {
      first = "g";
      firstAt = Date.now();
      return;
    }
    if (e.key === "Escape") {
      (document.activeElement as HTMLElement | null)?.blur();
      return;
    }
    if (one(e.key, e)) e.preventDefault();
  });
}
