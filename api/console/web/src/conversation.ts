// A conversation that grows: what is new is asked for as the server renders it, and joined.
import { $, $$ } from "./dom";

const NEAR = 140; // px from the end: there one follows
const LINES = 200; // of what was printed, kept where it was

const isAtEnd = (): boolean => {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < NEAR;
};
const toEnd = (): void => scrollTo({ top: document.documentElement.scrollHeight });

function joinResult(said: HTMLElement, part: HTMLElement): boolean {
  const call = $$(".call[data-call]", said).reverse()
    .find((one) => one.dataset["call"] === part.dataset["for"] && !$(".call-how", one));
  const how = $(".late-how", part), result = $(".call-result", part);
  if (!call || !how || !result) return false;
  $(".call-state", call)?.append(...how.childNodes);
  $(".call-body", call)?.append(result);
  return true;
}

function joinLines(last: Element | null, part: HTMLElement): boolean {
  if (!(last instanceof HTMLElement) || last.dataset["kind"] !== "lines") return false;
  const count = Number(last.dataset["count"]) + Number(part.dataset["count"]);
  const to = $("pre", last), words = $(".lines-count", last);
  if (!to || !words) return false;
  last.dataset["count"] = String(count);
  words.textContent = `${count.toLocaleString("en")} lines`;
  to.textContent = `${to.textContent}\n${$("pre", part)?.textContent ?? ""}`.split("\n").slice(-LINES).join("\n");
  return true;
}

export function grow(said: HTMLElement, job: string, following: boolean): (entries: number) => void {
  const pill = $("#latest");
  let last = Number(said.dataset["last"]), wanted = last, asking = false, follows = following;

  function join(now: Document): void {
    const into = $$(".said-part", said).at(-1);
    const from = $(".said-part", now);
    if (!into || !from) return;
    last = Number(from.dataset["last"]);
    for (const part of $$(":scope > [data-kind]", document.importNode(from, true))) {
      if (part.dataset["kind"] === "result" && joinResult(said, part)) continue;
      if (part.dataset["kind"] === "lines" && joinLines(into.lastElementChild, part)) continue;
      into.append(part);
    }
  }

  async function ask(): Promise<void> {
    if (asking) return;
    asking = true;
    try {
      while (last < wanted) {
        const before = last;
        const answer = await fetch(`/console/jobs/${job}/conversation?after=${last}`, { headers: { "X-Knify-Part": "true" } });
        if (!answer.ok) return;
        join(new DOMParser().parseFromString(await answer.text(), "text/html"));
        if (follows) toEnd();
        else if (pill) pill.hidden = false;
        if (last === before) return;
      }
    } catch { /* the next word asks again */ } finally { asking = false; }
  }

  $("#earlier")?.addEventListener("click", (event) => void earlier(event, said));
  addEventListener("scroll", () => {
    follows = isAtEnd();
    if (follows && pill) pill.hidden = true;
  }, { passive: true });
  pill?.addEventListener("click", () => { follows = true; pill.hidden = true; toEnd(); });
  if (follows) toEnd();
  return (entries) => { wanted = Math.max(wanted, entries); void ask(); };
}

/** What stands before, without moving what one reads. */
async function earlier(event: Event, said: HTMLElement): Promise<void> {
  const link = event.currentTarget;
  if (!(link instanceof HTMLAnchorElement)) return;
  event.preventDefault();
  const query = new URL(link.href).searchParams.get("before") ?? "";
  const answer = await fetch(`${location.pathname.replace(/\/continue$/, "")}/conversation?before=${query}`, { headers: { "X-Knify-Part": "true" } });
  const part = answer.ok ? $(".said-part", new DOMParser().parseFromString(await answer.text(), "text/html")) : null;
  if (!part) return;
  const from = document.documentElement.scrollHeight;
  link.closest(".earlier")?.after(document.importNode(part, true));
  scrollBy({ top: document.documentElement.scrollHeight - from });
  for (const late of $$(".late-result", said)) if (joinResult(said, late)) late.remove();
  const first = Number(part.dataset["first"]);
  if (first > 0) link.href = `?view=conversation&before=${first}`;
  else link.closest(".earlier")?.remove();
}
