// The form of a new job: Ctrl or Command with Enter sends it, and it is sent once.
import { $ } from "../dom";

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

addEventListener("pageshow", () => $("[data-submit]")?.removeAttribute("aria-busy"));
$("[aria-invalid]")?.focus();
