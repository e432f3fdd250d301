// Lines of terminals as elements: ansi_up reads the colours, and all text goes in as text.
import { AnsiUp } from "ansi_up";
import { make } from "./dom";

interface Colour { rgb: [number, number, number]; class_name: string }
interface Piece { bold: boolean; faint: boolean; italic: boolean; underline: boolean; fg: Colour | null; bg: Colour | null; text: string }
/** Where ansi_up makes HTML of what it has read; we take what it has read instead. */
interface Reader {
  transform_to_html(piece: Piece): string;
  process_hyperlink(link: { url: string; text: string }): string;
  with_state(link: { url: string; text: string }): Piece;
  _buffer: string;
  ansi_to_html(text: string): string;
}

let found: Piece[] = [];
const reader = new AnsiUp() as unknown as Reader;
reader.transform_to_html = (piece) => { found.push(piece); return ""; };
reader.process_hyperlink = (link) => {
  found.push(reader.with_state({ ...link, text: `${link.text} (${link.url})` }));
  return "";
};

const ODD = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
/** What hides or turns text is named instead of done. */
export const visible = (text: string): string => text.replace(ODD, (one) => {
  const code = one.charCodeAt(0);
  if (code < 32) return String.fromCharCode(0x2400 + code);
  return code === 127 ? "\u2421" : `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
});

function colour(element: HTMLElement, which: "fg" | "bg", value: Colour): void {
  if (value.class_name !== "truecolor") element.classList.add(`${value.class_name}-${which}`);
  else if (which === "fg") element.style.color = `rgb(${value.rgb.join(" ")})`;
  else element.style.backgroundColor = `rgb(${value.rgb.join(" ")})`;
}

/** Put a line into an element, as a terminal would show it: what a carriage return leaves. */
export function show(element: HTMLElement, line: string): void {
  let text = line.endsWith("\r") ? line.slice(0, -1) : line;
  const back = text.lastIndexOf("\r");
  if (back >= 0) text = text.slice(back + 1);
  if (!text.includes("\u001b")) { element.textContent = visible(text); return; }
  found = [];
  reader._buffer = "";
  reader.ansi_to_html(`\u001b[0m${text}`);
  const rest = reader._buffer.replace(/^\u001b/, "");
  for (const piece of found) {
    const shown = visible(piece.text);
    if (!piece.fg && !piece.bg && !piece.bold && !piece.faint && !piece.italic && !piece.underline) { element.append(shown); continue; }
    const part = make("span", {}, shown);
    for (const name of ["bold", "faint", "italic", "underline"] as const) if (piece[name]) part.classList.add(`ansi-${name}`);
    if (piece.fg) colour(part, "fg", piece.fg);
    if (piece.bg) colour(part, "bg", piece.bg);
    element.append(part);
  }
  if (rest) element.append(visible(rest));
  found = [];
}
