// What is drawn on a chart besides its lines: limits, marks of releases, the time below.
import type uPlot from "uplot";
import { clock, day, inUnit } from "../lib/format";
import { colour, FONT } from "../lib/scheme";

export const AXIS = { left: 64, right: 8, other: 58 }; // pixels beside what is drawn
const HALF_WIDTH = 3.4; // of a character of an axis

export interface Mark {
  ms: number;
  label: string;
  tone?: "bad" | "good" | "plain";
}

export interface Limit {
  value: number;
  label: string;
  tone?: "bad" | "warn" | "good";
}

export function drawLimits(u: uPlot, limits: Limit[], unit: string) {
  const { ctx } = u;
  const scale = devicePixelRatio;
  const taken: number[][] = [[], []]; // heights of names at the right and at the left
  ctx.textBaseline = "alphabetic";
  for (const limit of limits) {
    const y = u.valToPos(limit.value, "y", true);
    if (y < u.bbox.top - 1 || y > u.bbox.top + u.bbox.height + 1) continue;
    const color = colour(limit.tone === "good" ? "--good" : limit.tone === "warn" ? "--warn" : "--bad");
    ctx.strokeStyle = color;
    ctx.lineWidth = scale;
    ctx.setLineDash([4 * scale, 4 * scale]);
    ctx.beginPath();
    ctx.moveTo(u.bbox.left, y);
    ctx.lineTo(u.bbox.left + u.bbox.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.fillStyle = color;
    ctx.font = `${11 * scale}px ${FONT}`;
    const above = y - u.bbox.top > 16 * scale;
    const text = `${limit.label} ${inUnit(limit.value, unit)}`.trim();
    const at = above ? y - 4 * scale : y + 12 * scale;
    // Those that are close to each other stand at both ends; a third one there is not named.
    const side = taken.findIndex((of) => of.every((other) => Math.abs(other - at) >= 13 * scale));
    if (side < 0) continue;
    taken[side]!.push(at);
    ctx.textAlign = side ? "left" : "right";
    ctx.fillText(text, side ? u.bbox.left + 4 * scale : u.bbox.left + u.bbox.width - 4 * scale, at);
  }
}

export function drawMarks(u: uPlot, marks: Mark[]) {
  const { ctx } = u;
  const scale = devicePixelRatio;
  const right = u.bbox.left + u.bbox.width;
  const places = marks.map((mark) => u.valToPos(mark.ms / 1000, "x", true));
  ctx.setLineDash([]);
  ctx.textBaseline = "alphabetic";
  marks.forEach((mark, i) => {
    const x = places[i]!;
    if (x < u.bbox.left || x > right) return;
    ctx.strokeStyle = ctx.fillStyle = colour(mark.tone === "bad" ? "--bad" : mark.tone === "good" ? "--good" : "--dim");
    ctx.lineWidth = scale;
    ctx.beginPath();
    ctx.moveTo(x, u.bbox.top);
    ctx.lineTo(x, u.bbox.top + u.bbox.height);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x - 4 * scale, u.bbox.top);
    ctx.lineTo(x + 4 * scale, u.bbox.top);
    ctx.lineTo(x, u.bbox.top + 6 * scale);
    ctx.fill();
    ctx.font = `${10 * scale}px ${FONT}`;
    ctx.textAlign = "left";
    // A name that the next mark would cross is not written.
    const end = x + ctx.measureText(mark.label).width + 9 * scale;
    if (end <= right && !places.some((other) => other > x && other < end)) ctx.fillText(mark.label, x + 5 * scale, u.bbox.top + 10 * scale);
  });
}

export function timeTexts(splits: number[], incr: number): string[] {
  let last = "";
  return splits.map((s) => {
    const ms = s * 1000;
    const d = day(ms);
    const text = incr >= 86_400 ? d.slice(5) : incr < 60 ? clock(ms) : clock(ms).slice(0, 5);
    const newDay = last !== "" && d !== last && incr < 86_400;
    last = d;
    return newDay ? `${text}\n${d.slice(5)}` : text;
  });
}

// One that the edge would cut through is left out.
export function axisTime(u: uPlot, splits: number[], _: number, __: number, incr: number): string[] {
  const { min, max } = u.scales.x!;
  const pixels = (u.width - AXIS.left - AXIS.right) / (max! - min!);
  return timeTexts(splits, incr).map((text, i) => ((max! - splits[i]!) * pixels + AXIS.right < Math.min(text.length, 8) * HALF_WIDTH ? "" : text));
}

// A second line is there only where a day begins; times with seconds are wider.
export const heightTime = (_: uPlot, texts: string[] | null) => (texts?.some((t) => t.includes("\n")) ? 36 : 24);
export const spaceTime = (_: uPlot, __: number, min: number, max: number, width: number) => (((max - min) / width) * 64 < 60 ? 64 : 44);
