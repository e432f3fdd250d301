// A plot of time series on a canvas. Its figure says the same in words and as a table, for whoever
// sees no canvas; templates make it with `console/plot.html`.
import uPlot from "uplot";
import { $, make } from "./dom";

export type Unit = "cores" | "bytes" | "seconds" | "count" | "percent";
export type Series = { name: string; points: [number, number | null][] };

/** What is plotted: times in ms; points further apart than `gap` ms are not joined. */
export type Data = { series: Series[]; unit: Unit; start: number; end: number; gap?: number };

const COLOURS = ["--accent", "--good", "--warn", "--busy", "--bad"];
const HEIGHT = 190; // unless an element has a `data-height`
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];
const DAY = 86_400_000;

const probe = document.body.appendChild(make("span", { hidden: true }));

/** A token's colour in the theme of now, as a canvas takes it: `rgb(…)`. */
function colour(name: string): string {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

const font = (): string => `11px ${getComputedStyle(document.body).fontFamily}`;
const faint = (rgb: string): string => rgb.replace("rgb(", "rgba(").replace(")", ", 0.13)");
const short = (value: number): string => String(Number(value.toPrecision(3)));

/** A value for people: `1.5 GiB`, `0.25 cores`, `12 ms`. */
export function say(value: number | null | undefined, unit: Unit): string {
  if (value === null || value === undefined) return "–";
  if (unit === "bytes") {
    const step = Math.min(BYTES.length - 1, Math.floor(Math.log2(Math.max(1, value)) / 10));
    return `${short(value / 2 ** (10 * step))} ${BYTES[step]}`;
  }
  if (unit === "seconds") {
    if (value >= 120) return `${short(value / 60)} min`;
    return value !== 0 && Math.abs(value) < 1 ? `${short(value * 1000)} ms` : `${short(value)} s`;
  }
  if (unit === "percent") return `${short(value)} %`;
  return unit === "cores" ? `${short(value)} ${value === 1 ? "core" : "cores"}` : value.toLocaleString("en");
}

function broken(points: Series["points"], gap: number | undefined): Series["points"] {
  if (!gap) return points;
  return points.flatMap((point, n) => {
    const before = points[n - 1];
    return before && point[0] - before[0] > gap ? [[before[0] + 1, null], point] : [point];
  });
}

function columns(data: Data): uPlot.AlignedData {
  const tables = data.series.map((one) => {
    const points = broken(one.points, data.gap);
    return [points.map(([at]) => at), points.map(([, value]) => value)] as uPlot.AlignedData;
  });
  return tables.length ? uPlot.join(tables, tables.map(() => [2])) : [[]];
}

function moments(ticks: number[], span: number): string[] {
  const clock: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const day: Intl.DateTimeFormatOptions = { day: "numeric", month: "short" };
  const format = (at: number, words: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat("en-GB", words).format(at);
  let last = "";
  return ticks.map((at) => {
    const date = format(at, day);
    const isNew = date !== last;
    last = date;
    const time = format(at, span < 600_000 ? { ...clock, second: "2-digit" } : clock);
    if (span > 3 * DAY) return date;
    return isNew && span > DAY / 2 ? `${time}\n${date}` : time;
  });
}

/** Powers of two and their halves: bytes have round numbers of their own. */
const BINARY = Array.from({ length: 50 }, (_, n) => 2 ** n);

function axes(data: Data, height: number): uPlot.Axis[] {
  const common = {
    stroke: () => colour("--muted"), font: font(), labelFont: font(),
    grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false },
  };
  return [
    { ...common, grid: { show: false }, space: 84, values: (_, ticks) => moments(ticks, data.end - data.start) },
    {
      ...common, size: height < HEIGHT ? 62 : 76, space: height < HEIGHT ? 28 : 42, values: (_, ticks) => ticks.map((tick) => say(tick, data.unit)),
      ...(data.unit === "bytes" ? { incrs: BINARY } : {}),
    },
  ];
}

function options(data: Data, width: number, height: number): uPlot.Options {
  const stroke = (n: number) => colour(COLOURS[n % COLOURS.length] ?? "--accent");
  return {
    width, height, ms: 1, axes: axes(data, height), padding: [10, 12, 0, 0],
    scales: {
      x: { time: true, range: () => [data.start, Math.max(data.end, data.start + 1)] },
      y: { range: (_, __, top) => [0, top > 0 ? top * 1.12 : 1] },
    },
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    series: [
      { label: "Time", value: (_, at) => (at === null || at === undefined ? "–" : new Date(at).toLocaleString("en-GB")) },
      ...data.series.map((one, n) => ({
        label: one.name, width: 1.6, spanGaps: false,
        stroke: () => stroke(n), fill: () => (data.series.length === 1 ? faint(stroke(n)) : "transparent"),
        points: { show: one.points.length < 40, size: 5 },
        value: (_: uPlot, value: number | null) => say(value, data.unit),
      })),
    ],
  };
}

/** A plot in an element, kept as wide as that is and in the theme's colours; `update` shows newer data. */
export function plot(element: HTMLElement, data: Data): { update: (data: Data) => void; end: () => void } {
  const height = Number(element.dataset["height"]) || HEIGHT;
  const width = () => Math.max(200, element.clientWidth);
  let now = data;
  let drawn: uPlot | null = null;
  const draw = (): void => {
    drawn?.destroy();
    drawn = new uPlot(options(now, width(), height), columns(now), element);
  };
  const sized = new ResizeObserver(() => drawn?.setSize({ width: width(), height }));
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  draw();
  sized.observe(element);
  scheme.addEventListener("change", draw);
  addEventListener("themechange", draw);
  return {
    update: (newer) => { now = newer; draw(); },
    end: () => {
      sized.disconnect();
      scheme.removeEventListener("change", draw);
      removeEventListener("themechange", draw);
      drawn?.destroy();
    },
  };
}

/** The plot of a `[data-plot]` figure: its data stand in it, or at the address that it names. */
export async function fill(figure: HTMLElement): Promise<void> {
  const area = $(".plot-area", figure);
  if (!area) return;
  try {
    const url = figure.dataset["plot"];
    const text = url ? await (await fetch(url)).text() : $("script", figure)?.textContent;
    plot(area, JSON.parse(text ?? "") as Data);
  } catch {
    area.replaceChildren(make("p", { class: "help" }, "The plot could not be drawn; its table is below."));
  }
}
