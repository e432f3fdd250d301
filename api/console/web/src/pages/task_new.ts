// The editor of a manifest: numbers of lines, Tab, and what is wrong while one writes.
import { $, $$, csrf, icon, make } from "../dom";

type Problem = { field: string; message: string; line: number | null };
type Checked = { problems: Problem[]; summary?: string };

const text = $<HTMLTextAreaElement>("#manifest"), gutter = $("#gutter"), box = $("#problems"), form = $<HTMLFormElement>("#manifest-form");
let wrong = new Set($$("#problems [data-line]").map((one) => Number(one.dataset["line"])));
let asked = 0, timer = 0, sending = false;

function number(): void {
  if (!text || !gutter) return;
  const lines = text.value.split("\n").length;
  const parts: (string | Node)[] = [];
  for (let n = 1; n <= lines; n += 1) parts.push(wrong.has(n) ? make("b", {}, String(n)) : String(n), "\n");
  gutter.replaceChildren(...parts);
  gutter.scrollTop = text.scrollTop;
}

function row(one: Problem): HTMLElement {
  const place = one.line ? make("button", { type: "button", class: "to-line" }, `Line ${one.line}`) : "";
  return make("li", { "data-line": String(one.line ?? "") }, icon("circle-x"),
    make("span", {}, place, " ", one.field ? make("code", {}, one.field) : "", " ", one.message));
}

function show(found: Checked): void {
  wrong = new Set(found.problems.flatMap((one) => (one.line ? [one.line] : [])));
  const good = make("p", { class: "good" }, icon("circle-check"), `Ready to be submitted. ${found.summary ?? ""}`);
  box?.replaceChildren(found.problems.length ? make("ul", {}, ...found.problems.map(row)) : good);
  text?.setAttribute("aria-invalid", String(found.problems.length > 0));
  number();
}

async function check(): Promise<void> {
  if (!text) return;
  const turn = ++asked;
  const body = new URLSearchParams({ manifest: text.value });
  try {
    const answer = await fetch(text.dataset["check"] ?? "", { method: "POST", body, headers: { "X-CSRF-Token": csrf(), "X-Knify-Part": "true" } });
    if (turn !== asked) return;
    if (answer.ok) show((await answer.json()) as Checked);
    else box?.replaceChildren(make("p", { class: "muted" }, "It could not be checked just now; it is when you submit it."));
  } catch { /* the next letter asks again */ }
}

/** As if it was typed, so that it can be undone. */
function type(words: string): void {
  if (!document.execCommand("insertText", false, words)) text?.setRangeText(words, text.selectionStart, text.selectionEnd, "end");
}

function indent(area: HTMLTextAreaElement, outwards: boolean): void {
  const { selectionStart: start, selectionEnd: end, value } = area;
  if (start === end && !outwards) { type("  "); return; }
  const first = value.lastIndexOf("\n", start - 1) + 1;
  const lines = value.slice(first, end).split("\n").map((line) => (outwards ? line.replace(/^ {1,2}/, "") : `  ${line}`));
  area.setSelectionRange(first, end);
  type(lines.join("\n"));
  if (start !== end) area.setSelectionRange(first, first + lines.join("\n").length);
}

function go(line: number): void {
  if (!text) return;
  const lines = text.value.split("\n");
  const at = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  text.focus();
  text.setSelectionRange(at, at + (lines[line - 1]?.length ?? 0));
  text.scrollTop = Math.max(0, (line - 5) * 20);
}

text?.addEventListener("keydown", (event) => {
  if (event.key === "Tab" && !event.ctrlKey && !event.altKey && !event.metaKey) indent(text, event.shiftKey);
  else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form?.requestSubmit();
  else if (event.key === "Enter" && text.selectionStart === text.selectionEnd) {
    const before = text.value.slice(text.value.lastIndexOf("\n", text.selectionStart - 1) + 1, text.selectionStart);
    type(`\n${/^ */.exec(before)?.[0] ?? ""}`);
  } else return;
  event.preventDefault();
});
text?.addEventListener("input", () => {
  number();
  clearTimeout(timer);
  timer = window.setTimeout(() => void check(), 400);
});
text?.addEventListener("scroll", () => { if (gutter) gutter.scrollTop = text.scrollTop; });
box?.addEventListener("click", (event) => {
  const line = event.target instanceof Element && event.target.matches(".to-line") && event.target.closest("li")?.dataset["line"];
  if (line) go(Number(line));
});
form?.addEventListener("submit", () => { sending = true; });
addEventListener("beforeunload", (event) => { if (text && text.value !== text.defaultValue && !sending) event.preventDefault(); });
number();
if (wrong.size === 0 && !$("#problems li")) void check();
