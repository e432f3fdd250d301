// The page of a job.
import { grow } from "../conversation";
import { $, csrf, notify } from "../dom";
import * as ansi from "../ansi";
import * as find from "../find";
import { JobStream } from "../jobstream";
import type { News } from "../jobstream";
import { refresher } from "../parts";
import type { Data } from "../plot";
import { Terminal } from "../terminal";

const PLOT_MS = 10_000;
const root = $(".job");
if (root) begin(root);

function begin(root: HTMLElement): void {
  const { job = "", view = "" } = root.dataset;
  const isOver = root.dataset["over"] === "yes", isInLine = root.dataset["inLine"] === "yes";
  const place = { events: Number(root.dataset["events"]), entries: Number(root.dataset["entries"]) };
  const terminal = view === "output" ? openTerminal(job, place.entries, !isOver || root.dataset["failed"] === "yes") : null;
  const said = $("#said");
  const sayMore = said ? grow(said, job, !isOver && !location.search.includes("before=")) : null;
  const plot = plotter();

  const refresh = refresher(`/console/jobs/${job}?view=${view}`, ["plots"], (now) => {
    const state = $("[data-state]", now);
    if (!state) return;
    stream.know(state.dataset["inLine"] === "yes", state.dataset["over"] === "yes");
    plot(true);
  });
  const heard = (news: News): void => {
    terminal?.(news);
    sayMore?.(news.entries);
    plot(false);
  };
  const stream = new JobStream(job, place, view === "output", isInLine, isOver, heard, refresh);
  stream.follow();
  listen(job);
}

/** CPU and memory, drawn anew at most so often; uPlot is loaded where there is something to draw. */
function plotter(): (now: boolean) => void {
  const drawn = new Map<string, { update: (data: Data) => void }>();
  let last = 0;
  async function draw(section: HTMLElement): Promise<void> {
    const answer = await fetch(section.dataset["plots"] ?? "");
    if (!answer.ok) return;
    const found = Object.entries(await answer.json() as Record<string, Data>);
    if (!found.some(([, data]) => data.series.some((one) => one.points.length > 1))) return;
    section.hidden = false;
    const { plot } = await import("../plot");
    for (const [name, data] of found) {
      const into = $(`#plot-${name}`, section), known = drawn.get(name);
      if (known) known.update(data);
      else if (into) drawn.set(name, plot(into, data));
    }
  }
  return (now) => {
    const section = $("#plots");
    if (!section || (!now && Date.now() - last < PLOT_MS)) return;
    last = Date.now();
    void draw(section);
  };
}

function openTerminal(job: string, total: number, following: boolean): ((news: News) => void) | null {
  const box = $("#term-box"), none = $("#term-none"), pill = $("#latest"), lines = $("#term-lines");
  if (!box || !none) return null;
  const terminal = new Terminal(box, job, total, following);
  const settle = (): void => { none.hidden = terminal.total > 0; box.hidden = terminal.total === 0; };
  settle();
  find.listen(job, terminal);
  box.addEventListener("followed", () => { if (pill && terminal.following) pill.hidden = true; });
  pill?.addEventListener("click", () => { pill.hidden = true; terminal.toEnd(); });
  const wrap = $("#term-wrap");
  wrap?.addEventListener("click", () => {
    const on = wrap.getAttribute("aria-pressed") !== "true";
    wrap.setAttribute("aria-pressed", String(on));
    terminal.wrap(on);
  });
  return (news) => {
    const rows = news.rows ?? [];
    if (!rows.length) return;
    terminal.append(rows);
    settle();
    const newest = rows.reduce((n, row) => Math.max(n, row[1] ?? 0), 0);
    if (lines && newest) lines.textContent = `${newest.toLocaleString("en")} ${newest === 1 ? "line" : "lines"}`;
    if (pill && !terminal.following) pill.hidden = false;
  };
}

async function showWhole(job: string, seq: string): Promise<void> {
  const dialog = $<HTMLDialogElement>("#whole"), into = $("#whole-text");
  if (!dialog || !into) return;
  into.textContent = "Loading…";
  dialog.showModal();
  const answer = await fetch(`/console/jobs/${job}/lines/${seq}`);
  if (!answer.ok) { dialog.close(); notify("This line could not be read.", "error"); return; }
  const { text } = await answer.json() as { text: string };
  into.replaceChildren();
  ansi.show(into, text);
}

function listen(job: string): void {
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const whole = target?.closest<HTMLElement>("[data-whole]");
    if (whole) void showWhole(job, whole.dataset["whole"] ?? "");
    const menu = $<HTMLDetailsElement>("details.more[open]");
    if (menu && (!target || !menu.contains(target) || target.closest(".more-menu a, .more-menu button"))) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const menu = $<HTMLDetailsElement>("details.more[open]");
    if (event.key === "Escape" && menu) { menu.open = false; $("summary", menu)?.focus(); }
    const box = event.target;
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey) && box instanceof HTMLTextAreaElement) box.form?.requestSubmit();
  });
  document.addEventListener("input", (event) => {
    const box = event.target;
    if (!(box instanceof HTMLTextAreaElement) || box.id !== "next") return;
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight + 2, 320)}px`;
  });
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (event.target instanceof HTMLFormElement && event.target.id === "composer" && csrf()) button?.setAttribute("aria-busy", "true");
  });
}
