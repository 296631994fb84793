// Alerts: what fires and who was told, what is about to fire, silences, rules and receivers.
import { useRef } from "preact/hooks";
import { get } from "../lib/api";
import { failing, grouped } from "../lib/alerts";
import { counts } from "../lib/live";
import { useResource, useTold, useTurn } from "../lib/resource";
import { param } from "../lib/route";
import type { Alert, AlertGroup, RuleGroup, Silence } from "../lib/types_ops";
import { Empty, Failed } from "../ui/bits";
import { SearchBox, Views } from "../ui/links";
import { Firing, Pending } from "./alerts_firing";
import { NotTold, Receivers } from "./alerts_receivers";
import { Rules, rulesWithNotes } from "./alerts_rules";
import { Silences } from "./alerts_silences";

export interface AlertState {
  groups: AlertGroup[];
  alerts: Alert[];
  silences: Silence[];
  rules: RuleGroup[];
  rulesProblem: unknown;
}

// What the store's process says is not needed to see what fires: it may be starting again.
async function read(signal: AbortSignal): Promise<AlertState> {
  const rules = get<{ data: { groups: RuleGroup[] } }>("/api/v1/rules", signal).then(
    (a) => ({ list: a.data.groups, problem: null }),
    (problem: unknown) => ({ list: [], problem }),
  );
  const [groups, alerts, silences] = await Promise.all([
    get<AlertGroup[]>("/api/v2/alerts/groups", signal),
    get<Alert[]>("/api/v2/alerts", signal),
    get<Silence[]>("/api/v2/silences", signal),
  ]);
  const r = await rules;
  return { groups, alerts, silences, rules: r.list, rulesProblem: r.problem };
}

const VIEWS: [string, string][] = [
  ["firing", "Firing"],
  ["silences", "Silences"],
  ["rules", "Rules"],
  ["receivers", "Receivers"],
];

export function Alerts() {
  const moving = useRef(false); // somebody is being told, or cannot be: that changes within seconds
  const turn = useTurn(moving.current ? 2000 : 10_000);
  const asked = useResource(read, [], [turn, useTold(/^alert\./), counts.value.alerts_firing, counts.value.silences]);
  const view = param("view", "firing");
  const filter = param("q").toLowerCase();
  const s = asked.data;
  moving.current = !!s?.groups.some((g) => g.last === "failed" || g.last === "being sent");
  const badges: Record<string, number> = s
    ? { firing: s.alerts.filter((a) => a.status.state === "active").length, silences: s.silences.filter((x) => x.status.state === "active").length, rules: rulesWithNotes(s.rules), receivers: failing(s.groups).length }
    : {};
  return (
    <>
      <header class="head">
        <h1>Alerts</h1>
        <Views label="Parts of alerts" views={VIEWS} counts={badges} />
        {view !== "receivers" && <SearchBox label="Filter" />}
      </header>
      <Failed of={asked} />
      {s && <NotTold groups={s.groups} />}
      {!s && asked.loading && <Empty>Reading the alerts …</Empty>}
      {s && view === "firing" && (
        <>
          <Firing groups={grouped(s.groups, s.alerts)} s={s} filter={filter} again={asked.again} />
          <Pending rules={s.rules} filter={filter} />
        </>
      )}
      {s && view === "silences" && <Silences s={s} filter={filter} again={asked.again} />}
      {s && view === "rules" && <Rules s={s} filter={filter} />}
      {s && view === "receivers" && <Receivers s={s} />}
    </>
  );
}
