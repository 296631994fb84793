// Lines of the log store for one question: the past, newest first, as far back as it is asked for; and what comes now.
import { signal } from "@preact/signals";
import { problemOf, request } from "./api";
import { Run } from "./run";
import { serverNow } from "./time";
import type { LogLine, Problem } from "./types";

export const MOST_LINES = 1_000_000;
const MOST_BYTES = 640 << 20;
const FIRST = 5000;
const RETRY_MS = 2000;

export type Ask = Record<string, string>;

const decoder = new TextDecoder();

export function parse(bytes: Uint8Array | null): LogLine | null {
  if (!bytes) return null;
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    return null; // cut short where the connection ended
  }
}

export class Feed {
  private back = new Run(); // numbered from the newest to the oldest
  private front = new Run();
  private abort = new AbortController();
  private frame = 0;
  private since = String(Math.round(serverNow()));
  readonly turn = signal(0); // moves at most once a frame
  readonly loading = signal(true);
  readonly problem = signal<Problem | null>(null);
  readonly tail = signal<"off" | "live" | "lost">("off");
  more = false; // there are older lines in the store
  full = false; // the cap was met

  constructor(
    private ask: Ask,
    private follow: boolean,
  ) {
    void this.begin();
  }

  get count(): number {
    return this.back.count + this.front.count;
  }
  get bytes(): number {
    return this.back.bytes + this.front.bytes;
  }
  // Lines that were put before the first one that ever was, less those dropped there: how far rows have moved.
  get ahead(): number {
    return this.back.count - this.front.begin;
  }
  get came(): number {
    return this.front.end;
  }

  // Rows are in the order of time: 0 is the oldest that is held.
  bytesAt(row: number): Uint8Array | null {
    const n = this.back.count;
    return row < n ? this.back.line(n - 1 - row) : this.front.line(this.front.begin + row - n);
  }
  // A row's name, the same as long as its line is held.
  keyAt(row: number): number {
    const n = this.back.count;
    return row < n ? row - n : this.front.begin + row - n;
  }
  at(row: number): LogLine | null {
    return parse(this.bytesAt(row));
  }

  // The first row at or after a time; -1: it is older than what is held.
  rowAt(ms: number): number {
    const time = (row: number) => Date.parse(this.at(row)?.ts ?? "");
    if (!this.count || time(0) > ms) return -1;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (time(mid) < ms) low = mid + 1;
      else high = mid;
    }
    return Math.min(low, this.count - 1);
  }

  stop() {
    this.abort.abort();
    cancelAnimationFrame(this.frame);
  }

  // Older lines than those that are held, at most `limit`.
  async older(limit: number): Promise<void> {
    if (this.loading.peek() || !this.more || this.full) return;
    this.loading.value = true;
    await this.past(limit);
  }

  private changed() {
    if (!this.frame) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.turn.value++;
      });
    }
  }

  private query(more: Ask): string {
    return `/v1/logs?${new URLSearchParams({ ...this.ask, ...more })}`;
  }

  private async read(path: string, to: Run) {
    const reader = (await request(path, { signal: this.abort.signal })).body!.getReader();
    this.problem.value = null;
    if (to === this.front) this.tail.value = "live";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      to.push(value);
      this.changed();
      if (to === this.front) this.makeRoom();
      else if (this.bytes > MOST_BYTES) {
        this.full = true;
        return reader.cancel();
      }
    }
  }

  // The oldest lines go when there is no room: a tail may run for days.
  private makeRoom() {
    while (this.count > MOST_LINES || this.bytes > MOST_BYTES) {
      this.full = true;
      if (!(this.back.count ? this.back.dropLast() : this.front.dropFirst())) return;
    }
  }

  private async past(limit: number) {
    const had = this.back.count;
    const room = Math.max(0, MOST_LINES - this.count);
    const wanted = Math.min(limit, room);
    const oldest = parse(this.back.line(this.back.end - 1))?.cursor;
    try {
      if (wanted) await this.read(this.query({ order: "newest", limit: String(wanted), ...(oldest ? { cursor: oldest } : {}) }), this.back);
      this.more = this.full || this.back.count - had >= wanted;
      this.full ||= this.more && this.count >= MOST_LINES;
    } catch (error) {
      this.failed(error);
    }
    this.back.cut();
    if (!this.abort.signal.aborted) this.loading.value = false;
    this.changed();
  }

  private failed(error: unknown) {
    if (!this.abort.signal.aborted) this.problem.value = problemOf(error);
  }

  private async begin() {
    await this.past(FIRST);
    while (this.follow && !this.abort.signal.aborted) {
      const newest = parse(this.front.count ? this.front.line(this.front.end - 1) : this.back.line(0))?.cursor;
      try {
        await this.read(this.query({ follow: "1", ...(newest ? { cursor: newest } : { since: this.since }) }), this.front);
      } catch (error) {
        this.failed(error);
        const { status } = problemOf(error);
        if (status >= 400 && status < 500) return; // asking once more would be answered the same
      }
      this.front.cut();
      if (this.abort.signal.aborted) return;
      this.tail.value = "lost";
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  }
}
