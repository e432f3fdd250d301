// A list that is kept true without moving: rows that are shown change where they are, one that has
// gone is marked, and what is new is only counted until one asks for it.
import { $, $$ } from "./dom";

async function ask(url: string): Promise<Document | null> {
  const answer = await fetch(url, { headers: { "X-Knify-Part": "true" } });
  if (answer.status === 401) location.reload();
  if (!answer.ok) return null;
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

function swap(list: HTMLElement, now: Document): number {
  const shown = new Map($$("[data-row]", list).map((row) => [row.id, row]));
  let fresh = 0;
  let seen = false;
  for (const row of $$("[data-row]", now)) {
    const old = shown.get(row.id);
    if (!old) { if (!seen) fresh += 1; continue; }
    seen = true;
    if (old.innerHTML === row.innerHTML) continue;
    const focused = old.contains(document.activeElement);
    old.replaceChildren(...document.importNode(row, true).childNodes);
    if (focused) $(".row-link", old)?.focus();
  }
  return shown.size ? fresh : $$("[data-row]", now).length;
}

/** `data-live`: where it is told that something has changed; `data-noun`: what its rows are, "job" unless said. */
export function keepTrue(list: HTMLElement): void {
  const pill = $("#fresh");
  const words = pill && $("span", pill);
  let source: EventSource | null = null;
  let latest: Document | null = null;
  let asking = false;
  let again = false;

  async function refresh(): Promise<void> {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const now = await ask(location.href);
      if (now) {
        latest = now;
        const fresh = swap(list, now);
        if (pill && words) {
          pill.hidden = fresh === 0;
          const noun = list.dataset["noun"] ?? "job";
          words.textContent = `${fresh} new ${noun}${fresh === 1 ? "" : "s"}`;
        }
        if (!$("[data-row]", list) && fresh) show();
      }
    } catch { /* the next word asks again */ } finally {
      asking = false;
      if (again) { again = false; void refresh(); }
    }
  }

  function show(): void {
    if (!latest) return;
    list.replaceChildren(...document.importNode(latest.body, true).childNodes);
    if (pill) pill.hidden = true;
    scrollTo({ top: 0 });
  }

  // A browser opens only a few connections to one server: a page that nobody looks at holds none.
  function follow(): void {
    source?.close();
    source = null;
    if (document.hidden) return;
    source = new EventSource(list.dataset["live"] ?? "");
    source.onmessage = () => void refresh();
  }

  pill?.addEventListener("click", show);
  document.addEventListener("visibilitychange", follow);
  addEventListener("pagehide", () => source?.close());
  follow();
}
