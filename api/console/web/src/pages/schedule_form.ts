// The form of a schedule: what its expression says while one writes, and the fields of its type.
import { $, $$, make } from "../dom";

type Preview = { sentence?: string; next?: { at: number; text: string }[]; field?: string; problem?: string };

const box = $("#preview"), type = $<HTMLSelectElement>("#job_type");
const fields = ["schedule", "timezone"].map((id) => $<HTMLInputElement>(`#${id}`));
let asked = 0;
let timer = 0;

function show(found: Preview): void {
  if (!box) return;
  const times = (found.next ?? []).map((one) => make("li", {}, one.text));
  box.replaceChildren(
    found.problem ? make("p", { class: "problem" }, found.problem) : make("p", {}, make("strong", {}, found.sentence ?? "")),
    times.length > 0 && make("ol", {}, ...times) || "",
  );
  for (const field of fields) {
    if (found.field === field?.id) field?.setAttribute("aria-invalid", "true");
    else field?.removeAttribute("aria-invalid");
  }
}

async function ask(): Promise<void> {
  const turn = ++asked;
  const query = new URLSearchParams(fields.map((field) => [field?.name ?? "", field?.value ?? ""]));
  try {
    const answer = await fetch(`${box?.dataset["url"]}?${query}`);
    if (answer.ok && turn === asked) show((await answer.json()) as Preview);
  } catch { /* the next letter asks again */ }
}

/** `data-types`: of which job types it is; `not …`: of all others. What is hidden is sent all the same. */
function choose(): void {
  for (const part of $$("[data-types]")) {
    const [first, ...rest] = (part.dataset["types"] ?? "").split(" ");
    const is = first === "not" ? !rest.includes(type?.value ?? "") : [first, ...rest].includes(type?.value);
    part.hidden = !is;
  }
}

for (const field of fields) {
  field?.addEventListener("input", () => { clearTimeout(timer); timer = window.setTimeout(() => void ask(), 200); });
}
type?.addEventListener("change", choose);
choose();
$("[aria-invalid]")?.focus();
