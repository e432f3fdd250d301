// The pieces of a page that the server renders anew: each is exchanged where it is, when it changed.
import { $, $$ } from "./dom";

const QUIET_MS = 400;

const isInUse = (part: HTMLElement): boolean =>
  part.contains(document.activeElement) || !!$("details.more[open]", part) ||
  $$<HTMLTextAreaElement>("textarea", part).some((box) => box.value !== box.defaultValue);

function swap(now: Document, kept: string[]): void {
  for (const fresh of $$("[data-part]", now)) {
    const old = document.getElementById(fresh.id);
    if (!old || old.innerHTML === fresh.innerHTML || isInUse(old)) continue;
    const children = [...document.importNode(fresh, true).childNodes];
    const keeping = kept.map((id) => $(`#${id}`, old)).filter((one): one is HTMLElement => !!one);
    old.replaceChildren(...children);
    for (const one of keeping) $(`#${one.id}`, old)?.replaceWith(one);
  }
}

/** Asks for the page's parts when it is called, at most so often; `then` sees the answer. */
export function refresher(url: string, kept: string[], then: (now: Document) => void): () => void {
  let timer = 0, last = 0, asking = false, again = false;
  async function ask(): Promise<void> {
    timer = 0;
    if (asking) { again = true; return; }
    asking = true;
    last = Date.now();
    try {
      const answer = await fetch(url, { headers: { "X-Knify-Part": "true" } });
      if (answer.status === 401) location.reload();
      if (answer.ok) {
        const now = new DOMParser().parseFromString(await answer.text(), "text/html");
        swap(now, kept);
        then(now);
      }
    } catch { /* the next word asks again */ } finally {
      asking = false;
      if (again) { again = false; soon(); }
    }
  }
  function soon(): void {
    if (!timer) timer = window.setTimeout(() => void ask(), Math.max(0, last + QUIET_MS - Date.now()));
  }
  return soon;
}
