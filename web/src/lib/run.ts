// A long run of lines as the bytes they came in: nothing is decoded until it is drawn. A million lines are a few hundred
// blocks of one MiB and their offsets, not a million objects.

const BLOCK = 1 << 20;
const LF = 10;

interface Block {
  bytes: Uint8Array;
  used: number;
  starts: Uint32Array; // of line k, and of what follows the last one
  lines: number;
  first: number; // number of its first line
}

export class Run {
  private blocks: Block[] = [];
  begin = 0; // lines are numbered begin ≤ i < end, and keep their number
  end = 0;

  get count(): number {
    return this.end - this.begin;
  }

  get bytes(): number {
    return this.blocks.length * BLOCK;
  }

  // A block with room for `more` bytes; the line that is not whole yet moves along.
  private grow(more: number): Block {
    const before = this.blocks.at(-1);
    const open = before ? before.bytes.subarray(before.starts[before.lines]!, before.used) : new Uint8Array(0);
    const block: Block = { bytes: new Uint8Array(Math.max(BLOCK, open.length + more)), used: open.length, starts: new Uint32Array(4096), lines: 0, first: this.end };
    block.bytes.set(open);
    if (before) before.used = before.starts[before.lines]!;
    this.blocks.push(block);
    return block;
  }

  // Bytes as they come, cut anywhere.
  push(piece: Uint8Array) {
    for (let at = 0; at < piece.length; ) {
      const lf = piece.indexOf(LF, at);
      const to = lf < 0 ? piece.length : lf + 1;
      let block = this.blocks.at(-1);
      if (!block || block.used + to - at > block.bytes.length) block = this.grow(to - at);
      block.bytes.set(piece.subarray(at, to), block.used);
      block.used += to - at;
      at = to;
      if (lf < 0) return;
      if (block.lines + 1 === block.starts.length) {
        const starts = new Uint32Array(block.starts.length * 2);
        starts.set(block.starts);
        block.starts = starts;
      }
      block.starts[++block.lines] = block.used;
      this.end++;
    }
  }

  // What was begun and never ended is thrown away: the connection broke inside it.
  cut() {
    const block = this.blocks.at(-1);
    if (block) block.used = block.starts[block.lines]!;
  }

  line(i: number): Uint8Array | null {
    if (i < this.begin || i >= this.end) return null;
    let low = 0;
    let high = this.blocks.length;
    while (high - low > 1) {
      const mid = (low + high) >> 1;
      if (this.blocks[mid]!.first <= i) low = mid;
      else high = mid;
    }
    const block = this.blocks[low]!;
    const k = i - block.first;
    return block.bytes.subarray(block.starts[k]!, block.starts[k + 1]! - 1);
  }

  // Gives a block's memory back, with the lines that came first or last; false: there is only the one that is written to.
  dropFirst(): boolean {
    if (this.blocks.length < 2) return false;
    const gone = this.blocks.shift()!;
    this.begin = gone.first + gone.lines;
    return true;
  }

  dropLast(): boolean {
    const gone = this.blocks.pop();
    if (!gone) return false;
    this.end = gone.first;
    return true;
  }
}
