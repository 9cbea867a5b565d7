// Line and bar charts as SVG, each with a title for screen readers and its numbers as a table.
//
// A point is {label, value, text}: `text` is what is shown; `value` is a number that only places it on the screen.

import { h, s, unique } from "./dom.js";
import { t } from "./texts.js";

const WIDTH = 720;
const HEIGHT = 240;
const LEFT = 92;
const RIGHT = 14;
const TOP = 14;
const BOTTOM = 34;

// Round steps for an axis: 1, 2 or 5 times a power of ten, and no parts of things that are counted.
function ticks(low, high, whole, wanted = 4) {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10, 20, 50, 100].map((each) => each * power).find((each) => each >= rough && (!whole || each >= 1));
  const first = Math.floor(low / step) * step;
  const found = [];
  for (let at = first; at <= high + step * 0.999; at += step) found.push(Math.abs(at) < step / 1e6 ? 0 : at);
  return found;
}

function frame(points, zero) {
  const values = points.map((point) => point.value);
  const axis = ticks(Math.min(...values, zero ? 0 : Infinity), Math.max(...values, zero ? 0 : -Infinity), values.every(Number.isInteger));
  const low = axis[0];
  const high = axis[axis.length - 1];
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
  const compact = new Intl.NumberFormat(document.documentElement.lang, { notation: "compact", maximumFractionDigits: 4 });
  const lines = axis.map((value) => [
    s("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
    s("text", { class: "axis", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, compact.format(value)),
  ]);
  return { y, lines };
}

function labels(points, x) {
  const every = Math.max(1, Math.ceil(points.length / 7));
  return points.map((point, index) => (index % every ? null
    : s("text", { class: "axis", x: x(index), y: HEIGHT - 10, "text-anchor": "middle" }, point.label)));
}

function figure(title, heads, points, drawn) {
  const id = unique("chart");
  const rows = points.map((point) => h("tr", {}, h("th", { scope: "row" }, point.label), h("td", { class: "number" }, point.text)));
  return h("figure", { class: "chart" },
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-labelledby": id }, s("title", { id }, title), drawn),
    h("figcaption", {}, h("details", {}, h("summary", {}, t("chart.table")),
      h("div", { class: "table-frame" }, h("table", { class: "compact" }, h("caption", {}, title),
        h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, rows))))));
}

// A line through the points; `steps` holds each value until the next.
export function lineChart({ title, heads, points, steps = false, zero = false }) {
  const { y, lines } = frame(points, zero);
  const room = WIDTH - LEFT - RIGHT - 40;
  const x = (index) => LEFT + 20 + (points.length === 1 ? room / 2 : (index * room) / (points.length - 1));
  let path = "";
  points.forEach((point, index) => {
    if (index === 0) path += `M${x(0)} ${y(point.value)}`;
    else path += steps ? `H${x(index)}V${y(point.value)}` : `L${x(index)} ${y(point.value)}`;
  });
  if (steps) path += `H${WIDTH - RIGHT}`;
  const dots = points.map((point, index) => s("circle", { class: "dot", cx: x(index), cy: y(point.value), r: 3.5 }, s("title", {}, `${point.label}: ${point.text}`)));
  return figure(title, heads, points, [lines, labels(points, x), s("path", { class: "line", d: path }), dots]);
}

export function barChart({ title, heads, points }) {
  const { y, lines } = frame(points, true);
  const room = (WIDTH - LEFT - RIGHT) / points.length;
  const wide = Math.min(64, room * 0.6);
  const x = (index) => LEFT + room * (index + 0.5);
  const bars = points.map((point, index) => {
    const top = Math.min(y(point.value), y(0));
    return s("rect", { class: "bar", x: x(index) - wide / 2, y: top, width: wide, height: Math.abs(y(point.value) - y(0)) },
      s("title", {}, `${point.label}: ${point.text}`));
  });
  return figure(title, heads, points, [lines, bars, labels(points, x)]);
}
