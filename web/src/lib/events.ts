// The journal's entries in words. Kinds that are not known here are shown with their plain members.
import type { Tone } from "../ui/bits";
import { budget, duration, person, ratio } from "./format";
import type { Event } from "./types";

type Facts = Record<string, unknown>;

const text = (v: unknown) => (typeof v === "string" ? v : typeof v === "number" ? String(v) : "");
const num = (v: unknown) => (typeof v === "number" ? v : 0);

const CAUSES: Record<string, string> = {
  evidence: "its answers were worse",
  no_ready_replica: "no replica was ready",
  crash_loop: "its replicas crashed",
  start_failed: "it did not start",
  deadline: "it took too long",
  gate: "a gate failed",
  memory: "it took too much memory",
  cpu: "it took too much CPU",
  inconclusive: "it could not be proven",
  person: "somebody aborted it",
  superseded: "a newer one took its place",
  removed: "its app was removed",
  damaged: "its state could not be read",
};
export const causeText = (cause: string) => CAUSES[cause] ?? cause.replaceAll("_", " ");

const PHASES: Record<string, string> = {
  start: "starts its replicas",
  gate: "waits for its gates",
  step: "is watched",
  hold: "is not proven either way yet",
  promote: "is promoted",
  watch: "serves and is still watched",
  back: "goes back",
  end: "ended",
};
export const phaseText = (phase: string) => PHASES[phase] ?? phase;

function rolloutSentence(kind: string, f: Facts): string | null {
  const name = `rollout ${text(f.rollout)}`;
  switch (kind) {
    case "rollout.started":
      return `${name} started (${text(f.strategy)})`;
    case "rollout.weight":
      return `${name}: weight set to ${ratio(num(f.weight))}`;
    case "rollout.phase":
      return `${name} ${phaseText(text(f.phase))}`;
    case "rollout.passed":
      return `${name}: step ${num(f.index) + 1} passed`;
    case "rollout.back":
      return `${name} goes back: ${causeText(text(f.cause))}`;
    case "rollout.promoted":
      return `${name}: the new release serves`;
    case "rollout.ended":
      return f.outcome === "rolled_back"
        ? `${name} was rolled back: ${causeText(text(f.cause))}`
        : `${name} ended: ${text(f.outcome).replaceAll("_", " ")}`;
    case "rollout.paused":
      return `${name} paused`;
    case "rollout.resumed":
      return `${name} goes on`;
    case "rollout.stuck":
      return `${name} is stuck: the old release does not come back`;
    default:
      return null;
  }
}

function replicaSentence(e: Event, f: Facts): string | null {
  const name = `replica ${e.replica}`;
  switch (e.kind) {
    case "replica.created":
      return `${name} of release ${e.release} is made`;
    case "replica.started":
      return `${name} started`;
    case "replica.ready":
      return `${name} is ready`;
    case "replica.unready":
      return `${name} is not ready: ${text(f.reason)}`;
    case "replica.start_failed":
      return `${name} did not start: ${text(f.reason) || text(f.exit)}`;
    case "replica.died":
      return `${name} died: ${text(f.reason) || text(f.exit)}`;
    case "replica.crash_loop":
      return `${name} crashes again and again: ${text(f.reason)}`;
    case "replica.killed":
      return `${name} was killed: ${text(f.reason)}`;
    case "replica.probe_failed":
      return `${name} failed a probe: ${text(f.reason)}`;
    case "replica.retired":
      return `${name} leaves traffic`;
    case "replica.stopped":
      return `${name} stopped (${text(f.exit)})`;
    default:
      return null;
  }
}

const noted = (f: Facts) => (f.note ? `: ${text(f.note)}` : "");

function otherSentence(e: Event, f: Facts): string | null {
  switch (e.kind) {
    case "release.created":
      return `release ${e.release}${f.version ? ` (${text(f.version)})` : ""} was made`;
    case "app.releases":
      return `release ${text(f.serving)} serves${f.trial ? `, ${text(f.trial)} beside it` : ""}`;
    case "app.scaled":
      return `scaled to ${text(f.replicas ?? f.to)} replicas`;
    case "incident.opened":
      return `incident ${text(f.incident)} opened as ${text(f.priority)}: ${text(f.title)}`;
    case "incident.joined":
      return `joined incident ${text(f.incident)}: ${text(f.title)}`;
    case "alert.sent":
      return `${text(f.channel)} was told: ${text(f.firing)} firing, ${text(f.resolved)} over`;
    case "alert.failed":
      return `${text(f.channel)} could not be told: ${text(f.why)}`;
    case "incident.acknowledged":
      return `incident ${text(f.incident)} acknowledged by ${person(text(f.who))}${noted(f)}`;
    case "incident.assigned":
      return `incident ${text(f.incident)} assigned to ${person(text(f.assignee))} by ${person(text(f.who))}${noted(f)}`;
    case "incident.resolved":
      return `incident ${text(f.incident)} resolved by ${person(text(f.who))}${noted(f)}`;
    case "slo.burn":
      return `the budget of ${text(f.slo)} burns too fast (${text(f.severity)}): ${budget(num(f.left))}${num(f.left) < 0 ? "" : " is left"}`;
    case "slo.burn_over":
      return `the budget of ${text(f.slo)} no longer burns too fast`;
    case "slo.frozen":
      return `deployments are frozen by the budget of ${text(f.slo)}`;
    case "slo.thawed":
      return "deployments are allowed again";
    case "process.started":
      return `${text(f.role)} started${num(f.worker) ? ` (${text(f.worker)})` : ""}`;
    case "config.applied":
      return "a configuration was applied";
    default:
      return null;
  }
}

function plain(e: Event, f: Facts): string {
  const parts: string[] = [];
  if (e.release) parts.push(`release ${e.release}`);
  if (e.replica) parts.push(`replica ${e.replica}`);
  for (const [key, value] of Object.entries(f)) {
    if (parts.length >= 6) break;
    if ((typeof value === "string" && value) || typeof value === "number") parts.push(`${key} ${key.endsWith("_ms") ? duration(num(value)) : value}`);
  }
  return `${e.kind.replace(/^[a-z]+\./, "").replaceAll("_", " ")}${parts.length ? `: ${parts.join(", ")}` : ""}`;
}

const factsOf = (e: Event) => (typeof e.evidence === "object" && e.evidence !== null ? e.evidence : { text: e.evidence }) as Facts;

// Without the app; null for a kind that is not known here.
export function words(e: Event): string | null {
  const f = factsOf(e);
  return rolloutSentence(e.kind, f) ?? replicaSentence(e, f) ?? otherSentence(e, f);
}

export function sentence(e: Event): string {
  const what = words(e) ?? plain(e, factsOf(e));
  return e.app ? `${e.app}: ${what}` : what;
}

const BAD = /(failed|died|crash|killed|back$|burn$|frozen|stuck|expired|unready|panic$|opened|degraded|late|damaged)/;
const GOOD = /(ready|promoted|passed|resolved|over$|thawed|closed|renewed|issued|stable)/;

export function toneOfEvent(e: Event): Tone {
  const f = e.evidence as Facts | null;
  if (e.kind === "rollout.ended") return f?.outcome === "promoted" ? "good" : f?.outcome === "rolled_back" ? "bad" : "plain";
  if (e.kind === "replica.unready") return "warn";
  if (BAD.test(e.kind)) return "bad";
  return GOOD.test(e.kind) ? "good" : "plain";
}

// What says the same again and again, as one with its number; newest first.
export function runs<T>(list: T[], key: (item: T) => string): { item: T; n: number }[] {
  const out: { item: T; n: number; key: string }[] = [];
  for (const item of list) {
    const last = out[out.length - 1];
    const k = key(item);
    if (last && last.key === k) last.n++;
    else out.push({ item, n: 1, key: k });
  }
  return out;
}

// What belongs on the ribbon of a page: not every replica's every turn.
export const remarkable = (e: Event) => !/^(replica\.(created|started|retired|stopped)|app\.releases|rollout\.phase|process\.)/.test(e.kind);
