// What the panels of a dashboard ask for: many queries in few requests, on one grid of times. While time goes on only
// the newest points are asked for; they are put behind the ones that are there, and the oldest are dropped.
import { batch, signal, type Signal } from "@preact/signals";
import { columns, problemOf } from "./api";
import { labelText } from "./panels";
import type { Span } from "./time";
import type { Column, ColumnResult, Columns, ColumnSeries, Problem } from "./types";

const AT_ONCE = 24; // queries a request
const AGAIN = 2; // the newest points, asked for once more: a sample may have come late
const KEPT_MS = 300_000; // what a panel out of view knew is forgotten after this

export interface Answer {
  startMs: number;
  stepMs: number;
  n: number;
  error: string | null;
  series: ColumnSeries[];
}

const endOf = (a: Answer) => a.startMs + (a.n - 1) * a.stepMs;
export const timesOf = (a: { startMs: number; stepMs: number; n: number }) => Array.from({ length: a.n }, (_, i) => a.startMs + i * a.stepMs);
const points = (s: Span) => Math.round((s.endMs - s.startMs) / s.stepMs) + 1;

// A column on another part of the same grid; what lies outside is null.
export function shifted(values: Column, by: number, n: number): Column {
  if (by === 0 && values.length === n) return values;
  const out: Column = by >= 0 ? values.slice(by, by + n) : new Array<null>(Math.min(n, -by)).fill(null).concat(values.slice(0, Math.max(0, n + by)) as null[]);
  while (out.length < n) out.push(null);
  return out;
}

// The old answer and its newest points, on the grid of `span`.
export function joined(old: Answer | null, tail: { startMs: number; n: number; result: ColumnResult }, span: Span): Answer {
  const n = points(span);
  const { stepMs, startMs } = span;
  const out: Answer = { startMs, stepMs, n, error: tail.result.error, series: [] };
  if (out.error !== null) return out;
  const at = Math.round((tail.startMs - startMs) / stepMs);
  const fresh = new Map(tail.result.series.map((s) => [labelText(s.labels), s]));
  const put = (base: Column, values: Column) => {
    for (let i = 0; i < tail.n; i++) if (at + i >= 0 && at + i < n) base[at + i] = values[i] ?? null;
    return base;
  };
  const none = new Array<null>(tail.n).fill(null);
  for (const s of old?.series ?? []) {
    const name = labelText(s.labels);
    const base = shifted(s.values, Math.round((startMs - old!.startMs) / stepMs), n);
    const values = put(base === s.values ? base.slice() : base, fresh.get(name)?.values ?? none);
    fresh.delete(name);
    if (values.some((v) => v !== null)) out.series.push({ labels: s.labels, values });
  }
  for (const s of fresh.values()) {
    out.series.push({ labels: s.labels, values: put(new Array<null>(n).fill(null), s.values) });
  }
  out.series.sort((a, b) => (labelText(a.labels) < labelText(b.labels) ? -1 : 1));
  return out;
}

interface Entry {
  answer: Signal<Answer | null>;
  wanted: number;
  leftMs: number;
}

// Which points of a query are missing on the grid of `span`.
export function missing(a: Answer | null, span: Span): { startMs: number; endMs: number } | null {
  if (!a || a.error !== null || a.stepMs !== span.stepMs || span.startMs < a.startMs || endOf(a) < span.startMs) return { startMs: span.startMs, endMs: span.endMs };
  if (endOf(a) >= span.endMs && a.startMs === span.startMs) return null;
  return { startMs: Math.max(span.startMs, Math.min(endOf(a), span.endMs) - (AGAIN - 1) * span.stepMs), endMs: span.endMs };
}

export class Board {
  problem = signal<Problem | null>(null);
  asked = 0; // requests so far
  private entries = new Map<string, Entry>();
  private span: Span | null = null;
  private abort = new AbortController();
  private busy = false;
  private due = false;
  private planned = 0;

  // The answer of a query; it is asked for while at least one panel in view wants it.
  answer(expr: string): Signal<Answer | null> {
    return this.entry(expr).answer;
  }

  private entry(expr: string): Entry {
    let e = this.entries.get(expr);
    if (!e) this.entries.set(expr, (e = { answer: signal(null), wanted: 0, leftMs: Date.now() }));
    return e;
  }

  want(exprs: string[]): () => void {
    for (const expr of exprs) this.entry(expr).wanted++;
    this.plan();
    return () => {
      for (const expr of exprs) {
        const e = this.entry(expr);
        e.wanted--;
        e.leftMs = Date.now();
      }
    };
  }

  // Another range is a fresh start; a later part of the same grid goes on from what is there.
  move(span: Span) {
    const before = this.span;
    if (before && before.stepMs === span.stepMs && before.startMs === span.startMs && before.endMs === span.endMs) return;
    const on = before && before.stepMs === span.stepMs && span.startMs >= before.startMs && span.startMs < before.endMs && span.endMs >= before.endMs;
    this.span = span;
    if (!on) this.cancel();
    this.plan();
  }

  again() {
    this.problem.value = null;
    this.plan();
  }

  close() {
    this.cancel();
    clearTimeout(this.planned);
    this.planned = 0;
    this.span = null;
    this.entries.clear();
  }

  private cancel() {
    this.abort.abort();
    this.abort = new AbortController();
    this.busy = false;
  }

  // All that comes into view in one turn is asked for together.
  private plan() {
    if (this.planned || !this.span) return;
    this.planned = window.setTimeout(() => {
      this.planned = 0;
      void this.run();
    }, 0);
  }

  private forget() {
    const before = Date.now() - KEPT_MS;
    for (const [expr, e] of this.entries) if (!e.wanted && e.leftMs < before) this.entries.delete(expr);
  }

  private groups(span: Span): { startMs: number; endMs: number; exprs: string[] }[] {
    const groups = new Map<string, { startMs: number; endMs: number; exprs: string[] }>();
    for (const [expr, e] of this.entries) {
      if (!e.wanted) continue;
      const part = missing(e.answer.peek(), span);
      if (!part) continue;
      let group = groups.get(`${part.startMs}`);
      if (group && group.exprs.length === AT_ONCE) {
        groups.set(`${part.startMs}:${groups.size}`, group);
        group = undefined;
      }
      if (!group) groups.set(`${part.startMs}`, (group = { ...part, exprs: [] }));
      group.exprs.push(expr);
    }
    return [...groups.values()];
  }

  private async run() {
    if (this.busy) {
      this.due = true;
      return;
    }
    const span = this.span;
    if (!span || document.hidden) return;
    this.forget();
    const groups = this.groups(span);
    if (!groups.length) return;
    const { signal } = this.abort;
    this.busy = true;
    this.due = false;
    try {
      await Promise.all(
        groups.map(async (g) => {
          this.asked++;
          const got = await columns({ queries: g.exprs, startMs: g.startMs, endMs: g.endMs, stepMs: span.stepMs }, signal);
          if (!signal.aborted) batch(() => this.take(g.exprs, got, span));
        }),
      );
      this.problem.value = null;
    } catch (error) {
      if (!signal.aborted) this.problem.value = problemOf(error);
    } finally {
      if (!signal.aborted) {
        this.busy = false;
        if (this.due) this.plan();
      }
    }
  }

  private take(exprs: string[], got: Columns, span: Span) {
    exprs.forEach((expr, i) => {
      const e = this.entries.get(expr);
      const result = got.results[i];
      if (!e || !result) return;
      const old = e.answer.peek();
      const fits = old && old.error === null && old.stepMs === span.stepMs ? old : null;
      e.answer.value = joined(fits, { startMs: got.start_ms, n: got.n, result }, span);
    });
  }
}
