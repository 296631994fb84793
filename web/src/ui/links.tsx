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

// The app of the address: "app=…".
export function AppChoice({ names }: { names: string[] }) {
  const app = param("app");
  const all = app && !names.includes(app) ? [app, ...names] : names;
  return (
    <label>
      <span class="hidden">App</span>
      <select value={app} onChange={(e) => setQuery({ app: e.currentTarget.value })}>
        <option value="">all apps</option>
        {all.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

export function SearchBox({ label }: { label: string }) {
  return <input type="search" data-search placeholder="filter" aria-label={label} value={param("q")} onInput={(e) => setQuery({ q: e.currentTarget.value })} />;
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
