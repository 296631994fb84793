// Light or dark: as the system has it, or as the user said.
import { signal } from "@preact/signals";

const KEY = "headgate-scheme";
const query = matchMedia("(prefers-color-scheme: dark)");

function stored(): string {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

let known = new Map<string, string>();
export const chosen = signal(stored()); // "", "light" or "dark"
export const scheme = signal<"light" | "dark">("light");

function apply() {
  const dark = chosen.peek() ? chosen.peek() === "dark" : query.matches;
  document.documentElement.style.colorScheme = chosen.peek() || "light dark";
  known = new Map();
  scheme.value = dark ? "dark" : "light";
}

export function choose(value: string) {
  chosen.value = value;
  try {
    if (value) localStorage.setItem(KEY, value);
    else localStorage.removeItem(KEY);
  } catch {
    // storage is refused: until the page is closed
  }
  apply();
}

export function start() {
  query.addEventListener("change", apply);
  apply();
}

// ---- colours for canvas, which knows no custom property ----

export const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
let probe: HTMLElement | null = null;

// The colour of a custom property as it is now: "rgb(31, 102, 193)".
export function colour(name: string): string {
  let value = known.get(name);
  if (value) return value;
  probe ??= document.body.appendChild(Object.assign(document.createElement("i"), { hidden: true }));
  probe.style.color = `var(${name})`;
  value = getComputedStyle(probe).color;
  known.set(name, value);
  return value;
}

export const faded = (rgb: string, alpha: number) => rgb.replace(/^rgb\(([^)]*)\)$/, `rgba($1, ${alpha})`);
