// Small parts of the pages about apps: which app, where its runbook is.
import { href, page, param, setQuery } from "../lib/route";

// Places come from a configuration file: a path of the repository, or an address. Nothing else becomes a link.
export function Runbook({ at }: { at: string | undefined }) {
  if (!at) return null;
  return (
    <span class="runbook">
      runbook{" "}
      {/^https?:\/\//.test(at) ? (
        <a href={at} target="_blank" rel="noreferrer">
          {at.replace(/^https?:\/\//, "")}
        </a>
      ) : (
        <code>{at}</code>
      )}
    </span>
  );
}

// One of some, as a parameter of the address.
export function Pick({ name, label, options }: { name: string; label: string; options: [string, string][] }) {
  return (
    <label>
      <span class="hidden">{label}</span>
      <select value={options.some(([value]) => value === param(name)) ? param(name) : ""} onChange={(e) => setQuery({ [name]: e.currentTarget.value })}>
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

// The app of the address: "app=…". One that is no longer there stays to be seen.
export function AppChoice({ names }: { names: string[] }) {
  const list = new Set([...names, ...(param("app") ? [param("app")] : [])]);
  return <Pick name="app" label="App" options={[["", "all apps"], ...[...list].map((name): [string, string] => [name, name])]} />;
}

export function SearchBox({ label, hint = "filter" }: { label: string; hint?: string }) {
  return <input type="search" data-search placeholder={hint} aria-label={label} value={param("q")} onInput={(e) => setQuery({ q: e.currentTarget.value })} />;
}

// Parts of a page that have an address of their own: "view=…".
export function Views({ label, views, counts = {} }: { label: string; views: [string, string][]; counts?: Record<string, number> }) {
  const now = param("view", views[0]![0]);
  return (
    <nav class="tabs" aria-label={label}>
      {views.map(([value, name]) => (
        <a key={value} href={href([page.value], { view: value === views[0]![0] ? undefined : value })} aria-current={now === value ? "page" : undefined}>
          {name}
          {counts[value] ? <span class="count">{counts[value]}</span> : null}
        </a>
      ))}
    </nav>
  );
}
