// Long lists: only the rows that can be seen are in the document. As a table for screen readers, with the true number
// of rows; j and k walk through it like any other list.
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

export interface VirtualProps {
  label: string;
  count: number;
  rowHeight: number;
  columns?: string[]; // heads; without them there is no head row
  className?: string;
  rowClass?: (i: number) => string;
  cells: (i: number) => ComponentChildren; // elements with role="cell"
  keyOf?: (i: number) => string | number;
  follow?: boolean; // stays at its end while lines come
  onNearEnd?: () => void; // the last rows can be seen: more may be asked for
  onScroll?: (atEnd: boolean, atStart: boolean) => void;
  onRow?: (i: number) => void;
  selected?: number;
  scrollTo?: number; // brings this row into view when it changes
}

export function VirtualList(p: VirtualProps) {
  const box = useRef<HTMLDivElement>(null);
  const turn = useSignal(0);
  const made = useRef<Virtualizer<HTMLDivElement, Element> | null>(null);
  const options = {
    count: p.count,
    getScrollElement: () => box.current,
    estimateSize: () => p.rowHeight,
    overscan: 12,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    getItemKey: p.keyOf,
    onChange: () => {
      turn.value++;
    },
  };
  made.current ??= new Virtualizer<HTMLDivElement, Element>(options);
  const v = made.current;
  v.setOptions(options);
  useLayoutEffect(() => v._didMount(), []);
  useLayoutEffect(() => v._willUpdate());
  useLayoutEffect(() => {
    if (p.follow && p.count) v.scrollToIndex(p.count - 1, { align: "end" });
  }, [p.follow, p.count]);
  useLayoutEffect(() => {
    if (p.scrollTo !== undefined && p.scrollTo >= 0) v.scrollToIndex(p.scrollTo, { align: "center" });
  }, [p.scrollTo]);
  void turn.value;
  const items = v.getVirtualItems();
  const last = items.at(-1)?.index ?? -1;
  useLayoutEffect(() => {
    if (p.onNearEnd && p.count && last >= p.count - 20) p.onNearEnd();
  }, [last, p.count]);
  const scrolled = () => {
    const e = box.current!;
    p.onScroll?.(e.scrollTop + e.clientHeight >= e.scrollHeight - p.rowHeight, e.scrollTop < p.rowHeight);
  };
  return (
    <div class={`virtual ${p.className ?? ""}`} role="table" aria-label={p.label} aria-rowcount={p.count + (p.columns ? 1 : 0)}>
      {p.columns && (
        <div role="rowgroup">
          <div class="vhead" role="row" aria-rowindex={1}>
            {p.columns.map((name) => (
              <span key={name} role="columnheader">
                {name}
              </span>
            ))}
          </div>
        </div>
      )}
      <div class="vbody" ref={box} role="rowgroup" tabIndex={0} onScroll={scrolled} aria-label={p.label}>
        <div class="vspace" role="presentation" style={{ height: `${v.getTotalSize()}px` }}>
          {items.map((item) => (
            <div
              key={item.key}
              class={`vrow ${p.rowClass?.(item.index) ?? ""}`}
              role="row"
              aria-rowindex={item.index + (p.columns ? 2 : 1)}
              aria-selected={p.selected === undefined ? undefined : p.selected === item.index}
              data-row
              tabIndex={-1}
              style={{ transform: `translateY(${item.start}px)`, height: `${item.size}px` }}
              onClick={p.onRow && (() => p.onRow!(item.index))}
              onKeyDown={
                p.onRow &&
                ((e) => {
                  if (e.key === "Enter" && e.target === e.currentTarget) {
                    e.stopPropagation();
                    p.onRow!(item.index);
                  }
                })
              }
            >
              {p.cells(item.index)}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}
