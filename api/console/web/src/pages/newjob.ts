// The form of a new job: Ctrl or Command with Enter sends it, and it is sent once. Files that are
// uploaded or dropped here become its workspace.
import { $, notify } from "../dom";
import { attach, type Uploaded } from "../upload";

const form = $<HTMLFormElement>("#new-job");

form?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit();
  }
});

form?.addEventListener("submit", () => {
  const button = $<HTMLButtonElement>("[data-submit]", form);
  button?.setAttribute("aria-busy", "true");
});

const zone = $("[data-upload]");
if (zone) attach(zone);
zone?.addEventListener("uploaded", (event) => {
  event.preventDefault();
  const { path, files } = (event as CustomEvent<Uploaded>).detail;
  const field = $<HTMLInputElement>("#workspace_path");
  if (field) field.value = path;
  $("#new-workspace")?.removeAttribute("open");
  notify(`${path} is there, with ${files} ${files === 1 ? "file" : "files"}: the job begins with it.`);
  field?.focus();
});
addEventListener("dragenter", () => $("#new-workspace")?.setAttribute("open", ""));

addEventListener("pageshow", () => $("[data-submit]")?.removeAttribute("aria-busy"));
$("[aria-invalid]")?.focus();
