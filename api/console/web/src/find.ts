// The search of an output: the server looks through all of it, the terminal goes from match to match.
import { $ } from "./dom";
import type { Terminal } from "./terminal";

export function listen(job: string, terminal: Terminal): void {
  const form = $<HTMLFormElement>("#find"), box = $<HTMLInputElement>("#find-text");
  const count = $("#find-count"), previous = $<HTMLButtonElement>("#find-previous");
  if (!form || !box || !count || !previous) return;
  let asked = "", rows: number[] = [], at = -1, whole = true;

  function show(): void {
    const seq = rows[at] ?? 0;
    const isWords = !(asked.length > 1 && asked.startsWith("/") && asked.endsWith("/"));
    terminal.mark(new Set(rows), seq, isWords ? asked.toLowerCase() : "");
    if (previous) previous.disabled = rows.length === 0;
    if (count) count.textContent = asked === "" ? "" : rows.length === 0 ? "No match"
      : `${(at + 1).toLocaleString("en")} of ${rows.length.toLocaleString("en")}${whole ? "" : "+"}`;
  }

  async function search(): Promise<void> {
    const text = box?.value ?? "";
    asked = text;
    rows = [];
    at = -1;
    if (text === "") return show();
    if (count) count.textContent = "Searching…";
    const answer = await fetch(`/console/jobs/${job}/search?q=${encodeURIComponent(text)}`);
    const found = await answer.json() as { rows?: number[]; whole?: boolean; problem?: string };
    if (asked !== text) return;
    if (found.problem) { asked = text; if (count) count.textContent = found.problem; terminal.mark(new Set(), 0, ""); return; }
    rows = found.rows ?? [];
    whole = found.whole ?? true;
    at = rows.length ? 0 : -1;
    show();
  }

  function step(by: 1 | -1): void {
    if (box?.value !== asked) { void search(); return; }
    if (!rows.length) return;
    at = (at + by + rows.length) % rows.length;
    show();
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); step(1); });
  previous.addEventListener("click", () => step(-1));
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.shiftKey) { event.preventDefault(); step(-1); }
  });
  box.addEventListener("input", () => { if (box.value === "") void search(); });
}
