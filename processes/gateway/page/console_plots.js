// Plots in SVG: lines and stacked bars over time.
//
// Owns: shapes, axes, and what a plot says to who can't see it.
// Refuses to know: what is plotted. No style attribute: the Content-Security-Policy forbids them, classes do.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 52, right: 10, top: 12, bottom: 22 };

/**
 * Draw lines; a null in a line is a gap in it.
 *
 * @param {SVGElement} svg
 * @param {{kind: string, points: [number, number | null][]}[]} lines kind is a class; points are [ms, value]
 * @param {{from_ms: number, to_ms: number, least_top: number, words: (value: number) => string, summary: string}} frame
 *   `least_top` is the smallest value that the axis ends at.
 */
export function drawLines(svg, lines, frame) {
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value ?? 0));
  const sheet = begin(svg, Math.max(frame.least_top, ...values), frame);
  for (const { kind, points } of lines) {
    const at = points.map(([ms, value]) => (value === null ? null : [sheet.x(ms), sheet.y(value)]));
    sheet.add("path", { class: `line ${kind}`, d: pathOf(at) });
    at.forEach((point, index) => {
      const is_alone = point && !at[index - 1] && !at[index + 1]; // a line would not show it
      if (is_alone) sheet.add("circle", { class: `point ${kind}`, cx: point[0], cy: point[1], r: 2.5 });
    });
  }
}

/**
 * Draw bars that stand on each other.
 *
 * @param {SVGElement} svg
 * @param {{at_ms: number, parts: {kind: string, value: number}[]}[]} bars of equal width, without a gap in time
 * @param frame as of drawLines
 */
export function drawBars(svg, bars, frame) {
  const totals = bars.map(({ parts }) => parts.reduce((sum, { value }) => sum + value, 0));
  const sheet = begin(svg, Math.max(frame.least_top, ...totals), frame);
  const width = (sheet.x(frame.to_ms) - sheet.x(frame.from_ms)) / Math.max(1, bars.length);
  for (const { at_ms, parts } of bars) {
    let below = 0;
    for (const { kind, value } of parts) {
      const [top, bottom] = [sheet.y(below + value), sheet.y(below)];
      const box = { x: sheet.x(at_ms) + 0.5, y: top, width: Math.max(1, width - 1), height: bottom - top };
      if (value) sheet.add("rect", { class: `bar ${kind}`, ...box });
      below += value;
    }
  }
}

/** Empty a plot and draw its frame; returns its scales, and what adds a shape. */
function begin(svg, top, { from_ms, to_ms, words, summary }) {
  const { width, height } = svg.getBoundingClientRect();
  const [right, bottom] = [Math.max(width - MARGIN.right, MARGIN.left + 1), Math.max(height - MARGIN.bottom, MARGIN.top + 1)];
  const x = (ms) => MARGIN.left + ((ms - from_ms) / Math.max(1, to_ms - from_ms)) * (right - MARGIN.left);
  const y = (value) => bottom - (value / top) * (bottom - MARGIN.top);
  const add = (name, attributes, text = "") => {
    const shape = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, typeof value === "number" ? value.toFixed(1) : value);
    shape.textContent = text;
    svg.append(shape);
  };
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${Math.max(1, width)} ${Math.max(1, height)}`);
  svg.setAttribute("aria-label", summary);
  for (const value of [0, top / 2, top]) {
    add("line", { class: "grid-line", x1: MARGIN.left, x2: right, y1: y(value), y2: y(value) });
    add("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, words(value));
  }
  add("text", { x: MARGIN.left, y: height - 6 }, time(from_ms));
  add("text", { x: right, y: height - 6, "text-anchor": "end" }, time(to_ms));
  return { x, y, add };
}

function pathOf(points) {
  return points.map((point, index) => point && `${points[index - 1] ? "L" : "M"}${point[0].toFixed(1)} ${point[1].toFixed(1)}`)
    .filter(Boolean).join("");
}

function time(ms) {
  return new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
