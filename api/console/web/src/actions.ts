// What buttons do by their attributes: no page has a script of its own for these.
import { $, notify } from "./dom";

function toggleTheme(): void {
  const root = document.documentElement;
  const isDark = root.dataset["theme"]
    ? root.dataset["theme"] === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset["theme"] = isDark ? "light" : "dark";
  document.cookie = `knify_theme=${root.dataset["theme"]}; path=/console; max-age=31536000; samesite=strict`;
  dispatchEvent(new CustomEvent("themechange"));
}

async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    notify("Copied.");
  } catch {
    notify("This browser does not let pages copy over http: select the text instead.", "error");
  }
}

/** A form with `data-confirm` is sent when one has said yes to it. */
function confirm(form: HTMLFormElement, by: HTMLElement | null): void {
  const dialog = $<HTMLDialogElement>("#confirm");
  if (!dialog) return;
  const title = $("#confirm-title", dialog), text = $("#confirm-text", dialog), yes = $("#confirm-yes", dialog);
  if (title) title.textContent = form.dataset["confirm"] ?? "Sure?";
  if (text) text.textContent = form.dataset["confirmText"] ?? "";
  if (yes) yes.textContent = form.dataset["confirmYes"] ?? by?.textContent?.trim() ?? "Go on";
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue !== "yes") return;
    form.dataset["confirmed"] = "yes";
    form.requestSubmit(by instanceof HTMLButtonElement ? by : undefined);
  };
  dialog.showModal();
}

export function listen(): void {
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const by = (name: string) => target?.closest<HTMLElement>(`[data-${name}]`);
    const opened = by("open"), toggled = by("toggle"), copied = by("copy");
    if (by("theme-toggle")) toggleTheme();
    if (by("dismiss")) by("dismiss")?.closest(".notice")?.remove();
    if (opened) document.getElementById(opened.dataset["open"] ?? "")?.closest("dialog")?.showModal();
    if (copied) void copy(copied.dataset["copy"] ?? "");
    if (toggled) {
      const open = document.getElementById(toggled.dataset["toggle"] ?? "")?.classList.toggle("open");
      toggled.setAttribute("aria-expanded", String(open));
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target instanceof HTMLSelectElement && "submits" in event.target.dataset) event.target.form?.requestSubmit();
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || !form.dataset["confirm"] || form.dataset["confirmed"]) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    confirm(form, event.submitter);
  }, true);
}
