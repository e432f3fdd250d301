// Times that stay true while one looks: `data-ago` (a moment in ms), `data-since` (a duration so far).
import { $$ } from "./dom";

const UNITS: [number, string][] = [[86_400, "d"], [3_600, "h"], [60, "m"], [1, "s"]];

export function duration(seconds: number): string {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const parts: string[] = [];
  let left = Math.floor(seconds);
  for (const [size, unit] of UNITS) {
    if (left >= size) parts.push(`${Math.floor(left / size)} ${unit}`);
    left %= size;
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

export function ago(ms: number): string {
  const seconds = (Date.now() - ms) / 1000;
  const away = Math.abs(seconds);
  if (away < 5) return "just now";
  const [size, unit] = UNITS.find(([size]) => away >= size) ?? [1, "s"];
  const text = `${Math.floor(away / size)} ${unit}`;
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

function write(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

function refresh(): void {
  if (document.hidden) return;
  for (const element of $$("[data-ago]")) write(element, ago(Number(element.dataset["ago"])));
  for (const element of $$("[data-since]")) {
    write(element, duration((Date.now() - Number(element.dataset["since"])) / 1000));
  }
}

export function keepTrue(): void {
  setInterval(refresh, 1000);
  document.addEventListener("visibilitychange", refresh);
}
