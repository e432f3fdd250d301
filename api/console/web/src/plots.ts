// CPU and memory over time. uPlot is loaded where there is something to draw.
import { $ } from "./dom";

interface Points { t: number[]; cpu: number[]; memory: number[] }
const HEIGHT = 110;

const size = (bytes: number): string => {
  const units = ["B", "KiB", "MiB", "GiB"];
  let n = 0;
  while (bytes >= 1024 && n < units.length - 1) { bytes /= 1024; n += 1; }
  return `${bytes < 10 && n ? bytes.toFixed(1) : Math.round(bytes)} ${units[n]}`;
};

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Draws into a section with `data-plots`; what it returns draws anew, with the newest points. */
export function keep(section: HTMLElement): () => void {
  let drawn: { destroy(): void }[] = [];
  async function draw(): Promise<void> {
    const answer = await fetch(section.dataset["plots"] ?? "");
    if (!answer.ok) return;
    const points = await answer.json() as Points;
    if (points.t.length < 2) return;
    section.hidden = false;
    const { default: Plot } = await import("uplot");
    for (const one of drawn) one.destroy();
    drawn = ([["#plot-cpu", points.cpu, "--accent", "CPU", (v: number) => `${v.toFixed(2)} cores`],
      ["#plot-memory", points.memory, "--good", "Memory", size]] as const).flatMap(([where, values, name, label, words]) => {
      const into = $(where, section);
      if (!into) return [];
      const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px sans-serif" };
      return [new Plot({
        width: Math.max(200, into.clientWidth), height: HEIGHT, cursor: { points: { show: false }, y: false },
        legend: { live: true },
        scales: { y: { range: (_, __, max) => [0, Math.max(max * 1.15, 0.01)] } },
        axes: [{ ...axis, size: 24 }, { ...axis, size: 58, values: (_, ticks) => ticks.map((v) => where === "#plot-cpu" ? v.toFixed(1) : size(v)) }],
        series: [{}, { label, stroke: colour(name), width: 1.5, fill: `color-mix(in srgb, ${colour(name)} 12%, transparent)`, value: (_, v: number | null) => v === null ? "–" : words(v), points: { show: false } }],
      }, [points.t, [...values]], into)];
    });
  }
  addEventListener("themechange", () => void draw());
  void draw();
  return () => void draw();
}
