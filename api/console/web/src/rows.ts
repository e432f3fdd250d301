// The rows of a job's output as far as they are near: asked for in chunks, the farthest forgotten.
import type { Row } from "./jobstream";

export const CHUNK = 500;
const KEPT = 40; // chunks

export class Rows {
  private readonly chunks = new Map<number, Row[]>();
  private readonly asked = new Map<number, AbortController>();

  constructor(private readonly job: string, public total: number, private readonly came: (chunk: number) => void) {}

  /** The rows from `first` (counted from 0), `count` of them; null while they are not here. */
  get(first: number, count: number): Row[] | null {
    const found: Row[] = [];
    for (let at = first; at < first + count;) {
      const n = Math.floor(at / CHUNK), chunk = this.chunks.get(n);
      const end = Math.min(first + count, (n + 1) * CHUNK);
      if (!chunk || chunk.length < end - n * CHUNK) return null;
      found.push(...chunk.slice(at - n * CHUNK, end - n * CHUNK));
      at = end;
    }
    return found;
  }

  /** What just came, in order. Rows behind a gap are left to be asked for. */
  add(rows: Row[]): void {
    for (const row of rows) {
      const n = Math.floor((row[0] - 1) / CHUNK), place = (row[0] - 1) % CHUNK;
      let chunk = this.chunks.get(n);
      if (!chunk && place === 0) this.chunks.set(n, chunk = []);
      if (chunk && chunk.length === place) chunk.push(row);
      this.total = Math.max(this.total, row[0]);
    }
  }

  /** Ask for the chunks of these rows, and for no others any more. */
  want(first: number, end: number): void {
    const from = Math.floor(first / CHUNK), to = Math.floor(Math.max(first, end - 1) / CHUNK);
    for (const [n, control] of this.asked) if (n < from - 1 || n > to + 1) control.abort();
    for (let n = from; n <= to; n++) {
      const size = Math.min(CHUNK, this.total - n * CHUNK);
      if (size > 0 && (this.chunks.get(n)?.length ?? 0) < size && !this.asked.has(n)) void this.ask(n);
    }
    if (this.chunks.size <= KEPT) return;
    const middle = (from + to) / 2;
    const far = [...this.chunks.keys()].sort((a, b) => Math.abs(b - middle) - Math.abs(a - middle));
    for (const n of far.slice(0, this.chunks.size - KEPT)) this.chunks.delete(n);
  }

  private async ask(n: number): Promise<void> {
    const control = new AbortController();
    this.asked.set(n, control);
    try {
      const answer = await fetch(`/console/jobs/${this.job}/lines?after=${n * CHUNK}&most=${CHUNK}`, { signal: control.signal });
      if (!answer.ok) return;
      const { rows } = await answer.json() as { rows: Row[] };
      const newer = this.chunks.get(n);
      if (!newer || newer.length < rows.length) this.chunks.set(n, rows);
    } catch { /* no longer wanted, or asked again when it is looked at */ } finally {
      this.asked.delete(n);
    }
    this.came(n);
  }
}
