// What is looked for, all of it in the address.
import { appList } from "../lib/live";
import { param, setQuery } from "../lib/route";
import { Pick } from "../ui/links";

const LEVELS: [string, string][] = [
  ["", "all levels"],
  ["info", "info and worse"],
  ["warn", "warn and worse"],
  ["error", "errors"],
];
const OWN = ["control", "edge"]; // Headgate's own processes write here as well

// Releases and replicas that are there; one of the address that is no longer there stays to be seen.
function numbers(name: string, known: number[]): [string, string][] {
  const list = new Set(known.map(String));
  if (param(name)) list.add(param(name));
  return [["", `any ${name}`], ...[...list].sort((a, b) => Number(b) - Number(a)).map((n): [string, string] => [n, `${name} ${n}`])];
}

export function Filters() {
  const app = param("app");
  const names = new Set([...appList.value.map((a) => a.name), ...OWN]);
  if (app) names.add(app);
  const one = appList.value.find((a) => a.name === app);
  const replicas = one?.replicas ?? [];
  const releases = new Set(replicas.map((r) => r.release));
  if (one) releases.add(one.release);
  return (
    <>
      <Pick name="app" label="App" options={[["", "all apps"], ...[...names].map((n): [string, string] => [n, n])]} />
      <Pick name="level" label="Level" options={LEVELS} />
      {(app || param("release")) && <Pick name="release" label="Release" options={numbers("release", [...releases])} />}
      {(app || param("replica")) && <Pick name="replica" label="Replica" options={numbers("replica", replicas.map((r) => r.replica))} />}
      <input
        type="search"
        data-search
        placeholder="lines that contain"
        title="Searched by the store. Text without capitals is found in any case."
        aria-label="Lines that contain this text"
        maxLength={250}
        value={param("q")}
        onInput={(e) => setQuery({ q: e.currentTarget.value })}
      />
    </>
  );
}
