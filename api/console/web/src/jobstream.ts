// What happens to one job: a single stream that goes on where it was, also after a pause.

export interface News { entries: number; events: { n: number; state: string | null }[]; rows?: Row[] }
/** Number of the row, of the line; o(ut), e(rr) or m(ark); text; its length if it is cut; a note. */
export type Row = [number, number | null, string, string, number, string];

const TERMINAL = ["completed", "failed", "failed_preserved", "cancelled"];
const AGAIN_MS = 4000;

export class JobStream {
  private source: EventSource | null = null;
  private timer = 0;

  /** `changed` is told what may be old by now; `heard` of what is new. */
  constructor(
    private readonly job: string,
    private readonly place: { events: number; entries: number },
    private readonly rows: boolean,
    private inLine: boolean,
    private over: boolean,
    private readonly heard: (news: News) => void,
    private readonly changed: () => void,
  ) {
    document.addEventListener("visibilitychange", () => this.follow());
    addEventListener("pagehide", () => this.close());
  }

  close(): void {
    this.source?.close();
    this.source = null;
    clearTimeout(this.timer);
  }

  /** What the page says of the job now. A job in a line is told of by the list's changes. */
  know(inLine: boolean, over: boolean): void {
    const moved = inLine !== this.inLine;
    this.inLine = inLine;
    if (over && !this.source) this.over = true;
    if (moved) this.follow();
  }

  follow(): void {
    this.close();
    if (document.hidden || this.over) return;
    const { events, entries } = this.place;
    const url = this.inLine ? "/console/jobs/changes"
      : `/console/jobs/${this.job}/stream?rows=${this.rows ? 1 : 0}&after=${events}.${entries}`;
    this.source = new EventSource(url);
    this.source.onmessage = (message: MessageEvent<string>) => this.inLine ? this.changed() : this.take(message.data);
    this.source.onerror = () => {
      if (this.source?.readyState === EventSource.CLOSED) this.timer = window.setTimeout(() => { this.changed(); this.follow(); }, AGAIN_MS);
    };
    if (this.inLine) this.changed(); // it may have moved before this listened
  }

  private take(text: string): void {
    const news = JSON.parse(text) as News;
    this.place.entries = news.entries;
    for (const event of news.events) {
      this.place.events = Math.max(this.place.events, event.n);
      if (event.state && TERMINAL.includes(event.state)) this.over = true;
    }
    this.heard(news);
    if (news.events.length) this.changed();
    if (this.over) this.close();
  }
}
