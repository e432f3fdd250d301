// Small things that all scripts use. Whatever comes from a server is put in as text, never as HTML.

export const $ = <T extends Element = HTMLElement>(selector: string, from: ParentNode = document) =>
  from.querySelector<T>(selector);

export const $$ = <T extends Element = HTMLElement>(
  selector: string,
  from: ParentNode = document,
): T[] => [...from.querySelectorAll<T>(selector)];

type Child = Node | string | null | undefined | false;

/** A new element; `words` are attributes, `class` among them, and `children` texts or nodes. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  words: Record<string, string | boolean | undefined> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(words)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child): child is Node | string => !!child || child === ""));
  return element;
}

/** An icon of the sprite that the page's own icons come from. */
export function icon(name: string): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const sprite = $<SVGUseElement>("svg.icon use")?.getAttribute("href")?.split("#")[0] ?? "";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("width", "16");
  svg.setAttribute("height", "16");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
}

/** What a request that changes anything must bring along. */
export const csrf = (): string =>
  $<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";

/** Say something to everybody, also to those who listen; `kind` "error" for what went wrong. */
export function notify(text: string, kind = ""): void {
  const close = make("button", { type: "button", class: "icon-button", "data-dismiss": true },
    make("span", { class: "sr" }, "Dismiss"), icon("x"));
  $("#notices")?.append(make("div", { class: `notice ${kind}` },
    icon(kind === "error" ? "triangle-alert" : "info"), make("p", {}, text), close));
}
