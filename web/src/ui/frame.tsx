// What surrounds a chart of any kind: its name, the button for its table, and one of both, or both.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { tables } from "../lib/keys";

export interface FrameProps {
  title: string;
  help?: string;
  note?: ComponentChildren;
  foot?: ComponentChildren;
  height?: number;
  beside?: boolean;
  nothing?: ComponentChildren; // in place of the chart: why there is none
  table?: () => ComponentChildren;
  children?: () => ComponentChildren;
}

export function Frame(f: FrameProps) {
  const own = useSignal(false);
  const asTable = !!f.table && tables.value !== own.value;
  return (
    <figure class={f.beside ? "chart card beside" : "chart card"}>
      <figcaption>
        <h3 title={f.help}>{f.title}</h3>
        {f.note}
        {!f.nothing && f.table && !f.beside && (
          <button type="button" class="quiet small" aria-pressed={asTable} onClick={() => (own.value = !own.value)}>
            {asTable ? "chart" : "table"}
            <span class="hidden"> of {f.title}</span>
          </button>
        )}
      </figcaption>
      {f.nothing ? (
        <div class="nothing" style={{ minHeight: `${f.height ?? 180}px` }}>
          {f.nothing}
        </div>
      ) : f.beside ? (
        <div class="both">
          <div>{f.children?.()}</div>
          {f.table?.()}
        </div>
      ) : asTable ? (
        f.table!()
      ) : (
        f.children?.()
      )}
      {f.foot}
    </figure>
  );
}
