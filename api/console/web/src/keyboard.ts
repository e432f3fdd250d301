// Keys of the whole console: `data-key` of an element, `g` and a letter for pages, `j` and `k` for rows.
import { $, $$ } from "./dom";

const PAGES: Record<string, string> = {
  j: "jobs", t: "tasks", s: "schedules", b: "sandboxes", w: "workspaces", h: "webhooks", k: "keys", y: "system",
};

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

function step(by: 1 | -1): void {
  const rows = $$<HTMLAnchorElement>("[data-row] .row-link");
  const now = rows.findIndex((row) => row === document.activeElement);
  const next = rows[now < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, now + by))];
  next?.focus();
  next?.closest("[data-row]")?.scrollIntoView({ block: "nearest" });
}

function press(key: string): boolean {
  const found = $(`[data-key="${CSS.escape(key)}"]`);
  if (!found) return false;
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(found.tagName)) {
    found.focus();
    if (found instanceof HTMLInputElement) found.select();
  } else found.click();
  return true;
}

export function listen(): void {
  let went = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") (event.target as HTMLElement).blur();
      return;
    }
    const page = PAGES[event.key];
    if (went && Date.now() - went < 1200 && page) {
      const link = $<HTMLAnchorElement>(`.menu a[href="/console/${page}"]`);
      went = 0;
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    went = event.key === "g" ? Date.now() : 0;
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "?") $<HTMLDialogElement>("#keys-help")?.showModal();
    else if (went || event.key.length > 1 || !press(event.key)) return;
    event.preventDefault();
  });
}
