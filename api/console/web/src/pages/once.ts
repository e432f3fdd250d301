// A page that shows a secret once: the address becomes one that does not, so that neither loading it
// anew nor coming back repeats what made the secret.
import { $, $$ } from "../dom";

const then = $("[data-once]")?.dataset["once"];
if (then?.startsWith("/console/")) history.replaceState(null, "", then);

for (const input of $$<HTMLInputElement>("[data-selects]")) {
  input.addEventListener("focus", () => input.select());
  input.focus();
}
