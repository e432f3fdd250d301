// Output of any length: blocks of rows, of which only those near the view are elements.
import * as ansi from "./ansi";
import { $, $$, make } from "./dom";
import type { Row } from "./jobstream";
import { Rows } from "./rows";

const BLOCK = 100;
const AROUND = 800; // px above and below the view
const MOST = 400_000; // rows: browsers draw no element of any height
const AHEAD = 300; // rows
const SETTLED_MS = 70; // while one flies over rows, none are asked for

export class Terminal {
  private readonly rows: Rows;
  private readonly above = make("div");
  private readonly below = make("div");
  private readonly mounted = new Map<number, HTMLElement>();
  private readonly heights = new Map<number, number>(); // of blocks with wrapped lines, as measured
  private readonly skipped: number; // rows before the first that is shown
  private line = 20;
  private wraps = false;
  private drawing = 0;
  private settling = 0;
  private asked = 0; // where the view was when rows were asked for last
  private hits = new Set<number>();
  private hit = 0;
  private needle = "";
  following: boolean;

  constructor(private readonly box: HTMLElement, job: string, total: number, following: boolean) {
    this.rows = new Rows(job, total, () => this.draw());
    this.skipped = total > MOST ? Math.floor((total - MOST) / BLOCK) * BLOCK : 0;
    this.following = following;
    const notice = this.skipped ? make("p", { class: "term-skipped" }, `${this.skipped.toLocaleString("en")} earlier rows are in the download.`) : null;
    box.replaceChildren(...(notice ? [notice] : []), this.above, this.below);
    const probe = box.appendChild(make("div", { class: "ln" }, "x"));
    this.line = probe.getBoundingClientRect().height || 20;
    probe.remove();
    box.addEventListener("scroll", () => { this.noticeEnd(); this.draw(); }, { passive: true });
    new ResizeObserver(() => { this.heights.clear(); if (this.wraps) this.remount(); this.draw(); }).observe(box);
    this.rows.want(this.following ? Math.max(0, total - BLOCK) : this.skipped, this.following ? total : this.skipped + BLOCK);
    this.render();
  }

  get total(): number { return this.rows.total; }

  append(rows: Row[]): void {
    const before = this.total;
    this.rows.add(rows);
    if (this.total === before) return;
    const last = this.mounted.get(this.blockOf(before - 1)) ?? (before === this.skipped ? undefined : null);
    if (last) this.fill(this.blockOf(before - 1), last);
    this.draw();
  }

  toEnd(): void { this.following = true; this.draw(); }

  wrap(on: boolean): void {
    this.wraps = on;
    this.box.classList.toggle("wraps", on);
    const top = this.blockAt(this.box.scrollTop);
    this.heights.clear();
    this.remount();
    this.render();
    if (!this.following) { this.box.scrollTop = this.topOf(top); this.draw(); }
  }

  /** Rows that a search found, and which of them one is at (0: none). */
  mark(hits: Set<number>, hit: number, needle: string): void {
    this.hits = hits;
    this.hit = hit;
    this.needle = needle;
    if (hit) {
      this.following = false;
      this.box.scrollTop = this.topOf(this.blockOf(hit - 1)) + ((hit - 1 - this.skipped) % BLOCK) * this.line - this.box.clientHeight / 2;
    }
    this.render();
    for (const row of $$(".ln", this.box)) this.dress(row);
    this.paint();
    if (hit) $(".hit-now", this.box)?.scrollIntoView({ block: "center", inline: "nearest" });
  }

  private noticeEnd(): void {
    this.following = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 2 * this.line;
    this.box.dispatchEvent(new CustomEvent("followed"));
  }

  private draw(): void {
    if (!this.drawing) this.drawing = requestAnimationFrame(() => { this.drawing = 0; this.render(); });
  }

  private remount(): void {
    for (const element of this.mounted.values()) element.remove();
    this.mounted.clear();
  }

  private blockOf(index: number): number { return Math.floor((index - this.skipped) / BLOCK); }
  private get blocks(): number { return Math.ceil((this.total - this.skipped) / BLOCK); }
  private sizeOf(block: number): number { return Math.max(0, Math.min(BLOCK, this.total - this.skipped - block * BLOCK)); }
  private heightOf(block: number): number {
    return (this.wraps ? this.heights.get(block) : undefined) ?? this.sizeOf(block) * this.line;
  }
  private topOf(block: number): number {
    if (!this.wraps) return Math.min(block * BLOCK, this.total - this.skipped) * this.line;
    let top = 0;
    for (let n = 0; n < block; n++) top += this.heightOf(n);
    return top;
  }
  private blockAt(top: number): number {
    const last = Math.max(0, this.blocks - 1);
    if (!this.wraps) return Math.min(last, Math.max(0, Math.floor(top / (BLOCK * this.line))));
    let n = 0;
    for (let left = top; n < last && left >= this.heightOf(n); n++) left -= this.heightOf(n);
    return n;
  }

  private render(): void {
    const { box } = this;
    if (this.following) {
      this.place(this.topOf(this.blocks) - box.clientHeight);
      box.scrollTop = box.scrollHeight;
    }
    this.place(box.scrollTop);
    if (this.following) box.scrollTop = box.scrollHeight;
    this.paint();
  }

  private place(top: number): void {
    const first = this.blockAt(top - AROUND), last = this.blockAt(top + this.box.clientHeight + AROUND);
    for (const [n, element] of this.mounted) {
      if (n < first || n > last) { element.remove(); this.mounted.delete(n); }
    }
    let next: Element = this.below;
    for (let n = last; n >= first && this.sizeOf(n) > 0; n--) {
      let element = this.mounted.get(n);
      if (!element) {
        element = make("div", { class: "blk" });
        this.mounted.set(n, element);
        next.before(element);
      }
      if (element.dataset["size"] !== String(this.sizeOf(n))) this.fill(n, element);
      next = element;
    }
    if (this.wraps) for (const [n, element] of this.mounted) if (element.dataset["size"]) this.heights.set(n, element.offsetHeight);
    this.above.style.height = `${this.topOf(first)}px`;
    this.below.style.height = `${Math.max(0, this.topOf(this.blocks) - this.topOf(last + 1))}px`;
    this.ask(first, last);
  }

  private ask(first: number, last: number): void {
    clearTimeout(this.settling);
    const moved = Math.abs(this.box.scrollTop - this.asked);
    this.asked = this.box.scrollTop;
    const from = this.skipped + first * BLOCK, end = Math.min(this.total, this.skipped + (last + 1) * BLOCK);
    if (moved < this.box.clientHeight) { // one reads: what comes next is asked for before it is seen
      this.rows.want(Math.max(this.skipped, from - AHEAD), Math.min(this.total, end + AHEAD));
    } else {
      this.settling = window.setTimeout(() => this.rows.want(from, end), SETTLED_MS);
    }
  }

  /** Put the rows into a block that are not there yet; without them it has the height of them. */
  private fill(block: number, element: HTMLElement): void {
    const size = this.sizeOf(block), there = Number(element.dataset["size"] ?? 0);
    const rows = this.rows.get(this.skipped + block * BLOCK, size);
    if (!rows) {
      if (!there) element.style.height = `${size * this.line}px`;
      return;
    }
    element.style.height = "";
    element.append(...rows.slice(there).map((row) => this.row(row)));
    element.dataset["size"] = String(size);
  }

  private row([seq, n, kind, text, length, note]: Row): HTMLElement {
    const words = make("span", { class: "tx" });
    ansi.show(words, text);
    const row = make("div", { class: `ln ${kind}`, "data-n": n === null ? "" : String(n), "data-seq": String(seq) }, words);
    if (length) words.append(make("button", { type: "button", class: "whole", "data-whole": String(seq) }, `… show all ${length.toLocaleString("en")} characters`));
    if (note) row.append(make("span", { class: "nt" }, ansi.visible(note)));
    if (this.hits.size) this.dress(row);
    return row;
  }

  private dress(row: HTMLElement): void {
    const seq = Number(row.dataset["seq"]);
    row.classList.toggle("hit", this.hits.has(seq));
    row.classList.toggle("hit-now", seq === this.hit);
  }

  /** Mark the words that were looked for in the rows that are drawn. */
  private paint(): void {
    if (!("highlights" in CSS)) return;
    CSS.highlights.delete("found");
    if (!this.needle || !this.hits.size) return;
    const ranges: Range[] = [];
    for (const row of $$(".ln.hit .tx", this.box)) {
      const walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const text = (node.nodeValue ?? "").toLowerCase();
        for (let at = text.indexOf(this.needle); at >= 0; at = text.indexOf(this.needle, at + this.needle.length)) {
          const range = new Range();
          range.setStart(node, at);
          range.setEnd(node, at + this.needle.length);
          ranges.push(range);
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }
}
