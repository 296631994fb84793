// Who asks most of an app, and for what: for apps with analytics.
import { pathOf } from "../lib/api";
import { bytes, count, ratio, seconds } from "../lib/format";
import { useGet, useTurn } from "../lib/resource";
import type { Consumer } from "../lib/types_ops";
import { Ago, Columns, Num } from "../ui/bits";

interface Answer {
  consumers: Consumer[];
  paths: Consumer[];
}

const ROWS = 10;

function Table({ title, list }: { title: string; list: Consumer[] }) {
  if (!list.length) return null;
  return (
    <div>
      <h3>{title}</h3>
      <table class="rows stack">
        <caption class="hidden">{title}</caption>
        <Columns of={["who", "#requests", "#failed", "#refused", "#mean", "#sent", "#last"]} />
        <tbody>
          {list.slice(0, ROWS).map((c) => (
            <tr key={`${c.consumer ?? c.path} ${c.route}`} data-row tabIndex={-1}>
              <th scope="row">
                <code>{c.consumer ?? c.path}</code>
              </th>
              <Num name="requests" title={c.over ? `at most ${count(c.over)} of these are of others` : "exact"}>
                {count(c.requests)}
                {c.over > 0 && " ~"}
              </Num>
              <td data-label="failed" class={`num ${c.errors ? "bad" : "dim"}`}>
                {c.counted ? ratio(c.errors / c.counted) : "–"}
              </td>
              <Num name="refused">
                {c.counted ? ratio(c.refused / c.counted) : "–"}
              </Num>
              <Num name="mean">
                {c.counted ? seconds(c.seconds / c.counted) : "–"}
              </Num>
              <Num name="sent">
                {bytes(c.bytes_out)}
              </Num>
              <Num name="last">
                <Ago ms={c.last_ms} />
              </Num>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

// An app without a route, or without analytics, has none: then there is nothing to show.
export function Consumers({ name }: { name: string }) {
  const turn = useTurn(30_000);
  const asked = useGet<Answer>(`${pathOf(name)}/consumers`, turn);
  const a = asked.data;
  if (!a || (!a.consumers.length && !a.paths.length)) return null;
  return (
    <section class="card" aria-labelledby="consumers-title">
      <header class="head">
        <h2 id="consumers-title">Who asks, and for what</h2>
        <span class="dim">since the platform runs</span>
      </header>
      <div class="halves">
        <Table title="Consumers" list={a.consumers} />
        <Table title="Paths" list={a.paths} />
      </div>
    </section>
  );
}
