// The releases of an app: which serves, which are kept, what differs between two, and the way back.
import { pathOf, post } from "../lib/api";
import { stamp } from "../lib/format";
import { usePageKeys } from "../lib/keys";
import { useGet, useTold } from "../lib/resource";
import { href, param, setQuery } from "../lib/route";
import type { Diff, Release } from "../lib/types_ops";
import { Ago, Columns, Empty, Failed, Num, State } from "../ui/bits";
import { Act, type Change } from "../ui/confirm";

const PAGE = 100;

function rollback(app: string, r: Release, serving: Release | undefined): Change {
  return {
    title: `Roll ${app} back to ${nameOf(r)}?`,
    text: `Release ${r.number} takes over${serving ? ` from ${nameOf(serving)}` : ""} by a rollout of its own. While a rollout runs, it is aborted.`,
    verb: "Roll back",
    danger: true,
    done: `${app} goes back to ${nameOf(r)}`,
    act: async () => {
      const made = await post<{ id: number }>(`${pathOf(app)}/rollback`, { to: r.number });
      location.hash = href(["rollouts", String(made.id)]);
    },
  };
}

// One without an artifact is its configuration alone, which is always kept.
const there = (r: Release) => r.kept || !r.digest;
const nameOf = (r: Release) => r.version || String(r.number);

function pick(number: number, side: "a" | "b") {
  const other = side === "a" ? "b" : "a";
  setQuery({ [side]: number, ...(param(other) === String(number) && { [other]: undefined }) });
}

function Row({ app, r, serving }: { app: string; r: Release; serving: Release | undefined }) {
  const choice = (side: "a" | "b", text: string) => (
    <td data-label={text}>
      <input type="radio" name={side} checked={param(side) === String(r.number)} onChange={() => pick(r.number, side)} aria-label={`compare ${text} release ${r.number}, ${nameOf(r)}`} />
    </td>
  );
  return (
    <tr data-row tabIndex={-1} data-release={r.number}>
      <th scope="row">{r.number}</th>
      <td data-label="version">{r.version || "–"}</td>
      <td data-label="state">
        {r.serving ? (
          <State tone="good">serves</State>
        ) : r.quarantined_by ? (
          <State tone="bad">
            taken back by{" "}
            <a href={href(["rollouts", String(r.quarantined_by)])}>rollout {r.quarantined_by}</a>
          </State>
        ) : there(r) ? (
          <State tone="plain">kept</State>
        ) : (
          <span class="dim">cleared away</span>
        )}
      </td>
      <Num name="made" title={stamp(r.created_ms)}>
        <Ago ms={r.created_ms} />
      </Num>
      <Num name="rollout">
        {r.rollout ? <a href={href(["rollouts", String(r.rollout)])}>{r.rollout}</a> : "–"}
      </Num>
      {choice("a", "from")}
      {choice("b", "to")}
      <td class="num">
        {there(r) && !r.serving && !r.quarantined_by && (
          <Act needs="deployer" kind="small" change={() => rollback(app, r, serving)}>
            Roll back<span class="hidden"> to {nameOf(r)}</span>
          </Act>
        )}
      </td>
    </tr>
  );
}

const nothing = (value: string | null) => <span class="dim">{value === null ? "not there" : "empty"}</span>;

function Differences({ app, a, b }: { app: string; a: string; b: string }) {
  const asked = useGet<Diff>(`${pathOf(app)}/releases/${a}/diff/${b}`);
  const d = asked.data;
  return (
    <section class="card" aria-labelledby="diff-title" data-diff={`${a} ${b}`}>
      <h2 id="diff-title">
        From release {a} to {b}
      </h2>
      <Failed of={asked} />
      {d && d.changes.length === 0 && <Empty>They are made of the same.</Empty>}
      {d && d.changes.length > 0 && (
        <table class="rows stack diff">
          <caption class="hidden">Differences</caption>
          <Columns of={["what", `release ${a}`, `release ${b}`]} />
          <tbody>
            {d.changes.map((c) => (
              <tr key={c.what}>
                <th scope="row">
                  <code>{c.what}</code>
                </th>
                {c.hidden ? (
                  <td colSpan={2}>
                    {c.change} <span class="dim">(admins see the values)</span>
                  </td>
                ) : (
                  <>
                    <td data-label="old">{c.old ? <del>{c.old}</del> : nothing(c.old)}</td>
                    <td data-label="new">{c.new ? <ins>{c.new}</ins> : nothing(c.new)}</td>
                  </>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

export function Releases({ name }: { name: string }) {
  const before = param("before");
  const asked = useGet<{ releases: Release[] }>(`${pathOf(name)}/releases?limit=${PAGE}${before ? `&before=${before}` : ""}`, useTold(/^(release|rollout|app)\./, name));
  const list = asked.data?.releases ?? [];
  const serving = list.find((r) => r.serving);
  const a = param("a");
  const b = param("b");
  usePageKeys([{ keys: "c", what: "compare no longer", act: () => setQuery({ a: undefined, b: undefined }) }]);
  return (
    <>
      <header class="head">
        <h1>
          <a class="plain" href={href(["apps", name])}>
            {name}
          </a>{" "}
          <span class="dim">releases</span>
        </h1>
        {serving && <State tone="good">{nameOf(serving)} serves</State>}
        <span class="dim">choose two to see what differs</span>
      </header>
      <Failed of={asked} />
      {a && b && <Differences key={`${a} ${b}`} app={name} a={a} b={b} />}
      <section class="card">
        {list.length > 0 && (
          <table class="rows stack releases">
            <caption class="hidden">Releases of {name}, newest first</caption>
            <Columns of={["nr", "version", "state", "#made", "#rollout", "from", "to", "_action"]} />
            <tbody>
              {list.map((r) => (
                <Row key={r.number} app={name} r={r} serving={serving} />
              ))}
            </tbody>
          </table>
        )}
        {!asked.data && asked.loading && <Empty>Reading the releases …</Empty>}
        {asked.data && !list.length && <Empty>No release.</Empty>}
        <p class="line">
          {before && <a href={href(["apps", name, "releases"], { a, b })}>newest</a>}
          {list.length === PAGE && <a href={href(["apps", name, "releases"], { before: list[list.length - 1]!.number, a, b })}>older</a>}
        </p>
      </section>
    </>
  );
}
