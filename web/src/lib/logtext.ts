// What a log line says: most programs write JSON, whose message is shown first and whose other members after it.
import type { Tone } from "../ui/bits";
import { clock } from "./format";
import type { LogLine } from "./types";

export interface Said {
  message: string;
  rest: string; // "key=value key=value"
  members: Record<string, unknown> | null;
}

const MESSAGES = ["message", "msg", "event", "text"];
// Shown in columns of their own, or of no use beside them.
const KNOWN = new Set(["ts", "time", "timestamp", "asctime", "level", "levelname", "severity", "app", "release", "replica"]);

const plain = (v: unknown) => (typeof v === "string" ? v : JSON.stringify(v));

export function said(text: string): Said {
  let members: Record<string, unknown> | null = null;
  if (text.startsWith("{")) {
    try {
      members = JSON.parse(text);
    } catch {
      // a line that only looks like JSON
    }
  }
  if (!members) return { message: text, rest: "", members: null };
  const key = MESSAGES.find((k) => typeof members[k] === "string");
  const rest = Object.entries(members)
    .filter(([k, v]) => k !== key && !KNOWN.has(k) && v !== "" && v !== null)
    .map(([k, v]) => `${k}=${plain(v)}`)
    .join(" ");
  return { message: key ? (members[key] as string) : "", rest, members };
}

export const toneOfLevel = (level: string): Tone => (level === "error" ? "bad" : level === "warn" ? "warn" : "plain");
export const msOf = (line: LogLine) => Date.parse(line.ts);
export const timeOfLine = (line: LogLine) => `${clock(msOf(line))}${line.ts.slice(19, 23)}`;

// Ids in a line that lead somewhere: all lines of a request, all lines of a trace, a rollout.
export function idsOf(s: Said): { rollout?: string; ids: [string, string][] } {
  const m = s.members ?? {};
  const ids: [string, string][] = [];
  const traceparent = /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(String(m.traceparent ?? ""))?.[1];
  const trace = traceparent ?? m.trace_id ?? m.traceId ?? m.trace;
  if (typeof trace === "string" && trace) ids.push(["trace", trace]);
  const request = m.request_id ?? m.requestId;
  if (typeof request === "string" && request && request !== trace) ids.push(["request", request]);
  const rollout = m.rollout;
  return { ids, rollout: /^[1-9]\d*$/.test(String(rollout)) ? String(rollout) : undefined };
}
