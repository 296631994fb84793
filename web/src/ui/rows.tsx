// A long list: rows of one height, up to millions, of which only those that can be seen are in the document. What is drawn
// follows from the scroll position alone; no row is measured or kept, so that a list may grow by thousands a second. A
// table for screen readers, with the true number of rows; j and k walk through it like any other list.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

const SPARE = 12; // rows drawn beyond both edges
const REACH = 4000; // rows that are placed from the same origin: those that stay are not laid out or painted again
const TALLEST = 16_000_000; // px; browsers draw nothing beyond about 17 million

export interface RowsProps {
  label: string;
  columns: string[];
  className?: string;
  count: number;
  ahead?: number; // grows by what is put before the first row, falls by what is dropped there
  rowHeight: number;
  follow?: boolean; // stays at its end
  onFollow?: (atEnd: boolean) => void; // the user went to the end, or away from it
  onNearStart?: () => void;
  onNearEnd?: () => void; // the last rows can be seen: more may be asked for
  onRow?: (i: number) => void;
  keyOf: (i: number) => number | string;
  rowClass?: (i: number) => string;
  selected?: (i: number) => boolean;
  cells: (i: number) => ComponentChildren;
  jump?: { row: number } | null; // brings this row into view, once for every object
}

export function Rows(p: RowsProps) {
  const box = useRef<HTMLDivElement>(null);
  const view = useSignal(600);
  const turn = useSignal(0);
  const ahead = p.ahead ?? 0;
  const s = useRef({ top: 0, set: 0, origin: 0, ahead, jump: null as RowsProps["jump"] }).current;
  void turn.value;

  const total = p.count * p.rowHeight;
  const tall = Math.min(total, TALLEST);
  const most = Math.max(0, total - view.value);
  const pace = most && tall > view.value ? most / (tall - view.value) : 1; // px of rows for one px of scrolling
  // The user may have scrolled and its event is still to come: that is where he is, and not where we were.
  const host = box.current;
  const moved = !!host && Math.abs(host.scrollTop - s.set) >= 1;
  if (moved) s.top = host.scrollTop * pace;
  s.top += (ahead - s.ahead) * p.rowHeight;
  s.origin += ahead - s.ahead;
  s.ahead = ahead;
  if (p.jump && p.jump !== s.jump) s.top = p.jump.row * p.rowHeight - view.value / 2;
  else if (p.follow && !moved) s.top = most;
  s.jump = p.jump;
  s.top = Math.max(0, Math.min(most, s.top));
  const scroll = s.top / pace;
  const first = Math.max(0, Math.floor(s.top / p.rowHeight) - SPARE);
  const last = Math.min(p.count, Math.ceil((s.top + view.value) / p.rowHeight) + SPARE);
  if (first < s.origin || last > s.origin + REACH) s.origin = Math.max(0, first - REACH / 4);
  const focused = !!box.current && box.current !== document.activeElement && box.current.contains(document.activeElement);

  useLayoutEffect(() => {
    const host = box.current!;
    const watch = new ResizeObserver(() => (view.value = host.clientHeight));
    watch.observe(host);
    return () => watch.disconnect();
  }, []);
  useLayoutEffect(() => {
    const host = box.current!;
    if (Math.abs(host.scrollTop - scroll) >= 1) host.scrollTop = scroll;
    if (!moved) s.set = host.scrollTop;
    if (focused && !host.contains(document.activeElement)) host.focus({ preventScroll: true });
  });
  useLayoutEffect(() => {
    if (p.count && first === 0) p.onNearStart?.();
  }, [first === 0, p.count]);
  useLayoutEffect(() => {
    if (p.count && last >= p.count - SPARE) p.onNearEnd?.();
  }, [last >= p.count - SPARE, p.count]);

  const scrolled = () => {
    const host = box.current;
    if (!host) return; // said of a list that is gone
    if (Math.abs(host.scrollTop - s.set) < 1) return; // our own
    const down = host.scrollTop > s.set;
    s.set = host.scrollTop;
    s.top = host.scrollTop * pace;
    const atEnd = host.scrollTop + host.clientHeight >= host.scrollHeight - p.rowHeight;
    if (!atEnd || down) p.onFollow?.(atEnd);
    turn.value++;
  };
  const rows: ComponentChildren[] = [];
  for (let i = first; i < last; i++) {
    rows.push(
      <div
        key={p.keyOf(i)}
        class={`vrow ${p.rowClass?.(i) ?? ""}`}
        role="row"
        aria-rowindex={i + 2}
        aria-selected={p.selected?.(i)}
        data-row
        data-i={i}
        tabIndex={-1}
        style={{ height: `${p.rowHeight}px`, top: `${(i - s.origin) * p.rowHeight}px` }}
      >
        {p.cells(i)}
      </div>,
    );
  }
  const rowOf = (e: Event) => Number((e.target as HTMLElement).closest<HTMLElement>("[data-i]")?.dataset.i ?? -1);
  return (
    <div class={`virtual ${p.className ?? ""}`} role="table" aria-label={p.label} aria-rowcount={p.count + 1}>
      <div role="rowgroup">
        <div class="vhead" role="row" aria-rowindex={1}>
          {p.columns.map((name) => (
            <span key={name} role="columnheader" class={name[0] === "#" ? "num" : undefined}>
              {name.replace("#", "")}
            </span>
          ))}
        </div>
      </div>
      <div
        class="vbody"
        ref={box}
        style={{ "--tall": `${tall}px` }}
        role="rowgroup"
        tabIndex={0}
        aria-label={p.label}
        onScroll={scrolled}
        onFocusIn={(e) => {
          if (e.target !== e.currentTarget) p.onFollow?.(false); // a row that is looked at does not run away
        }}
        onClick={(e) => {
          const i = rowOf(e);
          if (i >= 0 && !getSelection()?.toString()) p.onRow?.(i);
        }}
        onKeyDown={(e) => {
          if (!p.onRow || e.key !== "Enter" || !(e.target as HTMLElement).matches("[data-i]")) return;
          e.stopPropagation();
          p.onRow(rowOf(e));
        }}
      >
        <div class="vspace" role="presentation" style={{ height: `${tall}px` }}>
          <div class="vlayer" role="presentation" style={{ transform: `translateY(${scroll + s.origin * p.rowHeight - s.top}px)` }}>
            {rows}
          </div>
        </div>
      </div>
    </div>
  );
}
