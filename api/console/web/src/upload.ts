// Uploads a workspace from a zone of `upload.html`: dropped or chosen, with its progress, and a way
// to give it up. When it is there, the zone says so by the event `uploaded`; who handles that stays
// on this page, else the new version's own page is shown.
import { $, csrf } from "./dom";

export interface Uploaded {
  name: string;
  version: number;
  unchanged: boolean; // nothing new: the newest version has these files
  path: string; // for `workspace_path`
  workspace_id: string;
  href: string;
  size: number;
  files: number;
}

const SUFFIXES = [".tar.gz", ".tar.zst", ".tgz", ".tar", ".zip"];

export function bytes(count: number): string {
  let size = count;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (size < 1024) return unit === "B" ? `${count} B` : `${size.toFixed(1)} ${unit}`;
    size /= 1024;
  }
  return `${size.toFixed(1)} TiB`;
}

const stem = (name: string): string => {
  const end = SUFFIXES.find((suffix) => name.toLowerCase().endsWith(suffix)) ?? "";
  return name.slice(0, name.length - end.length);
};

class Zone {
  private readonly file: HTMLInputElement;
  private readonly name: HTMLInputElement;
  private readonly button: HTMLButtonElement;
  private readonly way: HTMLElement;
  private request: XMLHttpRequest | null = null;

  constructor(private readonly root: HTMLElement) {
    this.file = $<HTMLInputElement>('input[type="file"]', root)!;
    this.name = $<HTMLInputElement>('input[name="name"]', root)!;
    this.button = $<HTMLButtonElement>(".upload-more button", root)!;
    this.way = $(".upload-way", root)!;
    root.classList.add("scripted");
    this.file.addEventListener("change", () => this.chosen());
    this.button.addEventListener("click", (event) => { event.preventDefault(); this.send(); });
    this.name.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.send();
    });
    $("button", this.way)?.addEventListener("click", () => this.request?.abort());
    this.listenForDrops();
    addEventListener("beforeunload", (event) => { if (this.request) event.preventDefault(); });
  }

  /** Anywhere on the page: who misses the zone by an inch means it all the same. */
  private listenForDrops(): void {
    const isFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    let depth = 0;
    const leave = () => { depth = 0; this.root.classList.remove("dropping"); };
    addEventListener("dragenter", (event) => {
      if (!isFiles(event)) return;
      depth += 1;
      this.root.classList.add("dropping");
    });
    addEventListener("dragleave", (event) => { if (isFiles(event) && --depth <= 0) leave(); });
    addEventListener("dragover", (event) => { if (isFiles(event)) event.preventDefault(); });
    addEventListener("drop", (event) => {
      if (!isFiles(event)) return;
      event.preventDefault();
      leave();
      if (this.request || !event.dataTransfer?.files.length) return;
      if (event.dataTransfer.files.length > 1) return this.say("workspace", "Drop one archive at a time.");
      this.file.files = event.dataTransfer.files;
      this.chosen();
    });
  }

  private chosen(): void {
    const file = this.file.files?.[0];
    this.say("workspace", "");
    this.say("name", "");
    this.name.placeholder = file ? stem(file.name) : "as the archive is called";
    if (file) this.fits(file) && this.button.focus();
  }

  private fits(file: File): boolean {
    const most = Number(this.root.dataset["most"]);
    if (!SUFFIXES.some((suffix) => file.name.toLowerCase().endsWith(suffix))) {
      this.say("workspace", "This is no archive: choose a .tar.gz, .tar, .tar.zst or .zip.");
    } else if (file.size > most) {
      this.say("workspace", `It has ${bytes(file.size)}, and this server takes ${bytes(most)} at most.`);
    } else return true;
    return false;
  }

  private send(): void {
    const file = this.file.files?.[0];
    if (this.request) return;
    if (!file) { this.say("workspace", "Choose an archive first."); this.file.focus(); return; }
    this.say("workspace", "");
    this.say("name", "");
    if (!this.fits(file)) return;
    const form = new FormData();
    if (this.name.value.trim()) form.append("name", this.name.value.trim());
    form.append("workspace", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", this.root.dataset["upload"] ?? "");
    request.responseType = "json";
    request.setRequestHeader("X-CSRF-Token", csrf());
    request.setRequestHeader("X-Knify-Part", "true");
    if ("goes" in this.root.dataset) request.setRequestHeader("X-Knify-Goes", "true");
    request.upload.onprogress = (event) => this.progress(event.loaded, event.total);
    request.onload = () => this.answered(request);
    request.onerror = () => this.end("The connection broke off. Nothing was kept: upload it again.");
    request.onabort = () => this.end("Cancelled: nothing was kept.");
    this.begin(request, file);
    request.send(form);
  }

  private begin(request: XMLHttpRequest, file: File): void {
    this.request = request;
    this.since = performance.now();
    this.way.hidden = false;
    this.button.disabled = this.file.disabled = this.name.disabled = true;
    const name = $(".upload-file", this.way);
    if (name) name.textContent = file.name;
    this.progress(0, file.size);
    $<HTMLButtonElement>("button", this.way)?.focus();
  }

  private since = 0;

  private progress(loaded: number, total: number): void {
    const bar = $<HTMLProgressElement>("progress", this.way);
    const said = $(".upload-said", this.way);
    if (!bar || !said) return;
    if (loaded >= total && total > 0) {
      bar.removeAttribute("value"); // it is all there, and is being checked and sealed
      said.textContent = `${bytes(total)} sent, now it is checked`;
      return;
    }
    const seconds = (performance.now() - this.since) / 1000;
    const rate = seconds > 0.5 ? ` · ${bytes(loaded / seconds)}/s` : "";
    bar.value = total ? loaded / total : 0;
    said.textContent = `${bytes(loaded)} of ${bytes(total)}${rate}`;
  }

  private answered(request: XMLHttpRequest): void {
    const answer: unknown = request.response;
    if (request.status === 401) { this.request = null; location.reload(); return; }
    if (request.status !== 200 || answer === null || typeof answer !== "object") {
      const told = (answer ?? {}) as { field?: string; message?: string };
      const text = told.message ?? `The server answered ${request.status}. Nothing was kept.`;
      this.end(text, told.field === "name" ? "name" : "workspace");
      return;
    }
    this.end("");
    this.file.value = "";
    this.name.value = "";
    const detail = answer as Uploaded;
    const more = new CustomEvent<Uploaded>("uploaded", { detail, bubbles: true, cancelable: true });
    if (this.root.dispatchEvent(more)) location.assign(detail.href);
  }

  private end(problem: string, field: "name" | "workspace" = "workspace"): void {
    this.request = null;
    this.way.hidden = true;
    this.button.disabled = this.file.disabled = this.name.disabled = false;
    this.say(field, problem);
    if (problem) (field === "name" ? this.name : this.file).focus();
  }

  private say(field: "name" | "workspace", problem: string): void {
    const input = field === "name" ? this.name : this.file;
    const told = $(`#${CSS.escape(input.id)}-problem`, this.root);
    if (told) told.textContent = problem;
    input.setAttribute("aria-invalid", String(!!problem));
    input.closest(".field, .upload-drop")?.classList.toggle("wrong", !!problem);
  }
}

/** Make a zone of this page upload by script. */
export function attach(root: HTMLElement): void {
  new Zone(root);
}
