// A picture over time that is not uPlot's: it shares the crosshair with the charts, and dragging sets the time range.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { setRange } from "../lib/time";
import { cursorMs, pointedMs } from "./chart";

export interface TimeBoxProps {
  fromMs: number;
  toMs: number;
  left: number; // pixels beside the time
  right: number;
  className: string;
  children: ComponentChildren;
}

const percent = (share: number) => `${Math.max(0, Math.min(1, share)) * 100}%`;

function Cross({ fromMs, toMs }: { fromMs: number; toMs: number }) {
  const ms = cursorMs.value;
  return ms === null || ms < fromMs || ms > toMs ? null : <i class="cross" style={{ left: percent((ms - fromMs) / (toMs - fromMs)) }} />;
}

export function TimeBox(p: TimeBoxProps) {
  const box = useRef<HTMLDivElement>(null);
  const drag = useSignal<[number, number] | null>(null); // shares of the width
  const share = (e: PointerEvent) => {
    const r = box.current!.getBoundingClientRect();
    return Math.max(0, Math.min(1, (e.clientX - r.left - p.left) / Math.max(1, r.width - p.left - p.right)));
  };
  const timeAt = (x: number) => p.fromMs + x * (p.toMs - p.fromMs);
  const point = (ms: number | null) => {
    cursorMs.value = ms;
    pointedMs.value = ms;
  };
  const ended = () => {
    const d = drag.value;
    drag.value = null;
    if (d && Math.abs(d[1] - d[0]) > 0.01) setRange(String(Math.round(timeAt(Math.min(...d)))), String(Math.round(timeAt(Math.max(...d)))));
  };
  return (
    <div
      ref={box}
      class={`timebox ${p.className}`}
      onPointerDown={(e) => {
        if (e.button !== 0 || e.pointerType === "touch") return;
        e.currentTarget.setPointerCapture(e.pointerId);
        drag.value = [share(e), share(e)];
      }}
      onPointerMove={(e) => {
        const x = share(e);
        if (drag.value) drag.value = [drag.value[0], x];
        point(timeAt(x));
      }}
      onPointerUp={ended}
      onPointerCancel={() => (drag.value = null)}
      onPointerLeave={() => !drag.value && point(null)}
    >
      {p.children}
      <div class="over" style={{ left: `${p.left}px`, right: `${p.right}px` }} aria-hidden="true">
        <Cross fromMs={p.fromMs} toMs={p.toMs} />
        {drag.value && <i class="drawn" style={{ left: percent(Math.min(...drag.value)), right: percent(1 - Math.max(...drag.value)) }} />}
      </div>
    </div>
  );
}
