// Who looks at the page. The token lives in sessionStorage, or in localStorage when the user wishes to stay signed
// in: both are separated by port, which cookies are not, and an app on another port must never be sent it.
import { computed, signal } from "@preact/signals";
import type { Problem, Role, Session } from "./types";

const KEY = "headgate-token";
const RANK: Record<Role, number> = { viewer: 1, deployer: 2, admin: 3 };

function read(): string {
  try {
    return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "";
  } catch {
    return ""; // storage is refused: signed in until the page is closed
  }
}

export const token = signal(read());
export const session = signal<Session | null>(null);
export const over = signal<Problem | null>(null); // why the last token is no longer good
export const role = computed<Role>(() => session.value?.role ?? "viewer");

export const may = (needed: Role) => RANK[role.value] >= RANK[needed];

export function keep(value: string, remember: boolean) {
  try {
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
    if (value) (remember ? localStorage : sessionStorage).setItem(KEY, value);
  } catch {
    // as above
  }
  if (value) over.value = null;
  else session.value = null;
  token.value = value;
}
