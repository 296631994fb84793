// What surrounds every page: navigation, time range, connection, who is signed in, help.
import { effect } from "@preact/signals";
import type { ComponentType } from "preact";
import { useLayoutEffect } from "preact/hooks";
import { request } from "./lib/api";
import { clock, duration } from "./lib/format";
import { GOES, helpOpen, pageKeys } from "./lib/keys";
import { connection, counts, events, known, lostSince, lostWhy } from "./lib/live";
import { href, page, place } from "./lib/route";
import { choose, chosen, scheme } from "./lib/scheme";
import { keep, may, role, session, token } from "./lib/session";
import { from, live, now, RANGES, setRange, to } from "./lib/time";
import type { Role } from "./lib/types";
import { announce, Announcer, Dialog } from "./ui/bits";
import { Confirm } from "./ui/confirm";
import { sentence } from "./lib/events";
import { Alerts } from "./pages/alerts";
import { Apps } from "./pages/apps";
import { Audit } from "./pages/audit";
import { Configuration } from "./pages/config";
import { Dashboards } from "./pages/dashboards";
import { Incidents } from "./pages/incidents";
import { Login } from "./pages/login";
import { Logs } from "./pages/logs";
import { Objectives } from "./pages/slo";
import { Overview } from "./pages/overview";
import { Rollouts } from "./pages/rollouts";

interface Page {
  name: string;
  title: string;
  body: ComponentType;
  ranged?: boolean; // shows the time range
  needs?: Role;
}

export const PAGES: Page[] = [
  { name: "overview", title: "Overview", body: Overview },
  { name: "rollouts", title: "Releases", body: Rollouts },
  { name: "dashboards", title: "Dashboards", body: Dashboards, ranged: true },
  { name: "slo", title: "Objectives", body: Objectives },
  { name: "alerts", title: "Alerts", body: Alerts },
  { name: "incidents", title: "Incidents", body: Incidents },
  { name: "logs", title: "Logs", body: Logs, ranged: true },
  { name: "apps", title: "Apps", body: Apps, ranged: true },
  { name: "audit", title: "Audit", body: Audit, needs: "admin" },
  { name: "config", title: "Configuration", body: Configuration, needs: "admin" },
];

const current = () => PAGES.find((p) => p.name === page.value) ?? PAGES[0]!;

// Verdicts, rollbacks, incidents and budgets are said aloud, wherever the user is.
const SPOKEN = /^(rollout\.(back|promoted|ended|stuck)|incident\.(opened|raised|resolved)|slo\.(burn|burn_over|frozen))$/;
let spoken = -1;
effect(() => {
  const list = events.value;
  // Of all that came in one turn: what matters is rarely what came last.
  const told = spoken < 0 ? undefined : list.find((e) => e.id > spoken && SPOKEN.test(e.kind));
  if (list.length || known.value) spoken = list[0]?.id ?? 0;
  if (told) announce(sentence(told));
});

function Nav() {
  const badge: Record<string, number> = { alerts: counts.value.alerts_firing, incidents: counts.value.incidents_open };
  return (
    <nav class="nav" aria-label="Pages">
      <a class="brand" href={href(["overview"])}>
        <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
          <rect width="32" height="32" rx="7" class="plate" />
          <path d="M9 6v20M23 6v20" class="posts" />
          <path d="M9 13h14M9 19h14" class="bars" />
        </svg>
        Headgate
      </a>
      <ul>
        {PAGES.filter((p) => !p.needs || may(p.needs)).map((p) => (
          <li key={p.name}>
            <a href={href([p.name])} aria-current={current().name === p.name ? "page" : undefined}>
              {p.title}
              {badge[p.name] ? <span class="badge">{badge[p.name]}</span> : null}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Connection() {
  const state = connection.value;
  if (state === "live") {
    return (
      <span class="link live" data-connection="live">
        <span aria-hidden="true">●</span> live <span class="clock">{clock(now.value)}</span>
      </span>
    );
  }
  const text =
    state === "lost"
      ? `no answer for ${duration(Math.max(1000, Date.now() - lostSince.value))}`
      : state === "resting"
        ? "resting while hidden"
        : "connecting";
  return (
    <span class={`link ${state}`} data-connection={state} data-tick={now.value}>
      <span aria-hidden="true">◌</span> {text}
    </span>
  );
}

function Range() {
  const custom = !live.value || !RANGES.some(([value]) => value === from.value);
  return (
    <span class="range">
      <label>
        <span class="hidden">Time range</span>
        <select
          value={custom ? "custom" : from.value}
          onChange={(e) => e.currentTarget.value !== "custom" && setRange(e.currentTarget.value)}
        >
          {RANGES.map(([value, name]) => (
            <option key={value} value={value}>
              last {name}
            </option>
          ))}
          {custom && <option value="custom">{`${label(from.value)} – ${label(to.value)}`}</option>}
        </select>
      </label>
      {custom && (
        <button type="button" class="quiet" onClick={() => setRange("-1h")}>
          back to now
        </button>
      )}
    </span>
  );
}

const label = (text: string) => (/^\d+$/.test(text) ? clock(Number(text)) : text);

async function signOut() {
  try {
    await request("/v1/session", { method: "DELETE", signal: AbortSignal.timeout(5000) });
  } catch {
    // signed out here in any case
  }
  keep("", false);
}

function Top() {
  return (
    <header class="top">
      <Connection />
      <span class="space" />
      {current().ranged && <Range />}
      <button
        type="button"
        class="quiet"
        title="Light or dark"
        aria-label={`Colours: ${chosen.value || "as the system"}, now ${scheme.value}`}
        onClick={() => choose(scheme.value === "dark" ? "light" : "dark")}
      >
        {scheme.value === "dark" ? "☾" : "☀"}
      </button>
      <button type="button" class="quiet" aria-label="Keyboard help" title="Keyboard (?)" onClick={() => (helpOpen.value = true)}>
        ?
      </button>
      {session.value && (
        <span class="who" title={`signed in as ${session.value.name}`}>
          <span class="name">{session.value.name}</span> <span class="role">{role.value}</span>
          <button type="button" class="quiet" onClick={signOut}>
            Sign out
          </button>
        </span>
      )}
    </header>
  );
}

function Help() {
  if (!helpOpen.value) return null;
  const row = (keys: string, what: string) => (
    <tr key={keys}>
      <td>
        {keys.split(" ").map((k) => (
          <kbd key={k}>{k}</kbd>
        ))}
      </td>
      <td>{what}</td>
    </tr>
  );
  return (
    <Dialog title="Keyboard" close={() => (helpOpen.value = false)}>
      <div class="help">
        <table>
          <caption>On this page</caption>
          <tbody>
            {pageKeys.value.map((k) => row(k.keys, k.what))}
            {row("/", "search")}
            {row("j k", "next row, row before")}
            {row("Enter", "open the row")}
            {row("t", "charts as tables, and back")}
            {row("Esc", "leave a field, close a dialog")}
            {row("?", "this help")}
          </tbody>
        </table>
        <table>
          <caption>Go to</caption>
          <tbody>{GOES.filter(([, , to]) => PAGES.some((p) => p.name === to[0])).map(([key, name]) => row(`g ${key}`, name))}</tbody>
        </table>
      </div>
      <p class="buttons">
        <button type="button" autofocus onClick={() => (helpOpen.value = false)}>
          Close
        </button>
      </p>
    </Dialog>
  );
}

// A new page starts at its top, with its name read aloud and the focus at its head.
function usePageChange() {
  const path = place.value.path.join("/");
  // Not after the next frame: whoever presses "/" meanwhile would lose the field again.
  useLayoutEffect(() => {
    document.title = `${current().title} · Headgate`;
    if (document.activeElement === document.body || !document.activeElement?.isConnected || document.activeElement.closest("main")) {
      const main = document.getElementById("main");
      (main?.querySelector<HTMLElement>("[autofocus]") ?? main)?.focus({ preventScroll: true });
    }
    scrollTo(0, 0);
  }, [path]);
}

export function Shell() {
  usePageChange();
  if (!token.value || page.value === "login") {
    return (
      <>
        <Login />
        <Announcer />
      </>
    );
  }
  const Body = current().body;
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(e) => (e.preventDefault(), document.getElementById("main")?.focus())}>
        Skip to the page
      </a>
      <Nav />
      <Top />
      {connection.value === "lost" && (
        <p class="banner" role="alert">
          {lostWhy.value ? `Headgate does not tell what is new: ${lostWhy.value.detail ?? lostWhy.value.title}.` : "Headgate's control does not answer. Traffic is served all the same;"} What is shown is as it was before. Trying again.
        </p>
      )}
      <main id="main" tabIndex={-1}>
        <Body key={place.value.path.join("/")} />
      </main>
      <Help />
      <Confirm />
      <Announcer />
    </div>
  );
}
