/* Owns line charts: a small SVG, drawn anew with each refresh.
 *
 * The text beside a chart says what its lines say last, so nobody needs to see the picture. */

import { h, svg, update } from "./dom.js";
import { clock } from "./format.js";

const HEIGHT = 190;
const LEFT = 66;
const BOTTOM = 20;
const TOP = 8;
const RIGHT = 8;

/**
 * Makes a chart. `series` is a list of {key, label, tone}, where tone is the number of a colour 1 to 6;
 * `format` writes a value; `unit` is what its ticks are multiples of: powers of "10" or of "1024".
 * show(points, limit) takes {key: [{t, v}, ...]}, oldest first, and {value, label} of a dashed line.
 */
export function createChart({ title, series, format, integer = false, unit = "10" }) {
  const hidden = new Set();
  const plot = svg("svg", { class: "plot", "aria-hidden": "true", focusable: "false" });
  const legend = h("ul", { class: "legend" });
  const cursor = h("p", { class: "cursor", hidden: true });
  let points = {};
  let limit = null;
  const element = h(
    "figure",
    { class: "chart" },
    h("figcaption", null, title),
    legend,
    plot,
    cursor,
  );

  const draw = () => {
    const visible = series.filter(({ key }) => points[key]?.length && !hidden.has(key));
    const most = Math.max(
      0,
      limit?.value ?? 0,
      ...visible.flatMap(({ key }) => points[key].map(({ v }) => v)),
    );
    const step = unit === "1024" ? niceStep1024(most / 3) : niceStep(most / 3, integer);
    const scale = scales(
      visible.flatMap(({ key }) => points[key].map(({ t }) => t)),
      most,
      step,
      plot.clientWidth || 640,
    );
    update(
      plot,
      grid(scale, format),
      limit ? limitLine(scale, limit) : null,
      visible.map(({ key, tone }) => line(scale, points[key], tone)),
    );
    plot.scale = scale;
    update(
      legend,
      series.filter(({ key }) => points[key]).map((one) => legendEntry(one)),
    );
  };

  const legendEntry = ({ key, label, tone }) =>
    h(
      "li",
      null,
      h(
        "button",
        {
          type: "button",
          class: `tone-${tone}`,
          "aria-pressed": String(!hidden.has(key)),
          title: "Show or hide this line",
          onclick: () => {
            if (!hidden.delete(key)) hidden.add(key);
            draw();
          },
        },
        h("span", { class: "swatch", "aria-hidden": "true" }),
        label,
        " ",
        h("b", null, format(points[key].at(-1)?.v)),
      ),
    );

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const { scale } = plot;
    const t = scale.t(event.clientX - box.left);
    const lines = series
      .filter(({ key }) => points[key]?.length && !hidden.has(key))
      .map(({ key, label }) => `${label} ${format(nearest(points[key], t).v)}`);
    const first = series.find(({ key }) => points[key]?.length);
    if (!first) return;
    cursor.textContent = `${clock(nearest(points[first.key], t).t)}: ${lines.join(", ")}`;
    cursor.hidden = false;
  });
  plot.addEventListener("pointerleave", () => {
    cursor.hidden = true;
  });
  new ResizeObserver(() => draw()).observe(element);

  return {
    element,
    show(newPoints, newLimit = null) {
      points = newPoints;
      limit = newLimit;
      draw();
    },
  };
}

function nearest(list, t) {
  return list.reduce((best, point) =>
    Math.abs(point.t - t) < Math.abs(best.t - t) ? point : best,
  );
}

function scales(times, most, step, width) {
  const from = times.length ? Math.min(...times) : 0;
  const to = times.length ? Math.max(...times, from + 1) : 1;
  const top = Math.max(step, Math.ceil(most / step) * step);
  const inner = width - LEFT - RIGHT;
  return {
    from,
    to,
    top,
    step,
    width,
    empty: !times.length,
    x: (t) => LEFT + ((t - from) / (to - from)) * inner,
    y: (v) => TOP + (1 - v / top) * (HEIGHT - TOP - BOTTOM),
    t: (x) => from + ((x - LEFT) / inner) * (to - from),
  };
}

/** The smallest 1, 2 or 5 times a power of ten that is at least `least`. */
function niceStep(least, integer) {
  if (least <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least);
  return integer ? Math.max(1, step) : step;
}

/** The same among sizes, in powers of two: ticks read 512 MiB and 1 GiB, not 500 MiB and 1,000 MiB. */
function niceStep1024(least) {
  return 2 ** Math.ceil(Math.log2(Math.max(1, least)));
}

function grid(scale, format) {
  const lines = [];
  for (let v = 0; v <= scale.top * 1.001; v += scale.step) {
    lines.push(
      svg("line", {
        class: "grid",
        x1: LEFT,
        x2: scale.width - RIGHT,
        y1: scale.y(v),
        y2: scale.y(v),
      }),
      svg(
        "text",
        { class: "tick", x: LEFT - 8, y: scale.y(v) + 4, "text-anchor": "end" },
        format(v),
      ),
    );
  }
  if (scale.empty) {
    lines.push(
      svg(
        "text",
        { class: "tick", x: scale.width / 2, y: HEIGHT / 2, "text-anchor": "middle" },
        "Nothing measured yet",
      ),
    );
  } else {
    lines.push(
      svg("text", { class: "tick", x: LEFT, y: HEIGHT - 3 }, clock(scale.from)),
      svg(
        "text",
        { class: "tick", x: scale.width - RIGHT, y: HEIGHT - 3, "text-anchor": "end" },
        clock(scale.to),
      ),
    );
  }
  return lines;
}

function limitLine(scale, { label, value }) {
  const y = scale.y(value);
  return [
    svg("line", { class: "limit", x1: LEFT, x2: scale.width - RIGHT, y1: y, y2: y }),
    svg(
      "text",
      {
        class: "tick limit-label",
        x: scale.width - RIGHT,
        y: y < 24 ? y + 14 : y - 5,
        "text-anchor": "end",
      },
      label,
    ),
  ];
}

function line(scale, list, tone) {
  const d = list
    .map(
      ({ t, v }, index) => `${index ? "L" : "M"}${scale.x(t).toFixed(1)} ${scale.y(v).toFixed(1)}`,
    )
    .join("");
  return svg("path", { class: `line tone-${tone}`, d });
}

/** Reads sampled levels of the API, oldest first. */
export function levels(details) {
  return (details?.samples ?? [])
    .map(({ sample, timestamp }) => ({ t: timestamp, v: sample }))
    .reverse();
}

/** Reads sampled counters of the API as rates, oldest first. */
export function rates(details) {
  const list = levels(details);
  return list.slice(1).map(({ t, v }, index) => {
    const before = list[index];
    return { t, v: Math.max(0, (v - before.v) / ((t - before.t) / 1000)) };
  });
}
