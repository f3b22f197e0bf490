/* Owns line charts: a small SVG, drawn anew with each refresh.
 *
 * The text beside a chart says what its lines say last, and a table what they said before, so nobody
 * needs to see the picture. */

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
 * show(points, limit) takes {key: [{t, v}, ...]}, oldest first, v null where nothing is known, and
 * {value, label} of a dashed line.
 */
export function createChart(options) {
  return new Chart({ integer: false, unit: "10", ...options });
}

class Chart {
  #points = {};
  #limit = null;
  #hidden = new Set();
  #scale = null;
  #pointerX = null;

  constructor(options) {
    this.options = options;
    this.legend = h("ul", { class: "legend" });
    this.plot = svg("svg", {
      class: "plot",
      "aria-hidden": "true",
      focusable: "false",
      onpointermove: ({ clientX }) => this.#point(clientX - this.plot.getBoundingClientRect().left),
      onpointerleave: () => this.#point(null),
    });
    this.cursor = h("div", { class: "cursor", "aria-hidden": "true", hidden: true });
    this.values = h("div", { class: "values", tabindex: "0", hidden: true });
    this.values.setAttribute("role", "group");
    this.values.setAttribute("aria-label", `${options.title}: values`);
    this.toggle = h(
      "button",
      {
        type: "button",
        class: "quiet",
        "aria-pressed": "false",
        "aria-label": `${options.title} as a table`,
        onclick: () => this.#showTable(this.values.hidden),
      },
      "Table",
    );
    this.element = h(
      "figure",
      { class: "chart" },
      h("figcaption", null, options.title, this.toggle),
      this.legend,
      this.plot,
      this.values,
      this.cursor,
    );
    new ResizeObserver(() => this.#draw()).observe(this.element);
  }

  show(points, limit = null) {
    this.#points = points;
    this.#limit = limit;
    this.#draw();
  }

  /** The series that there is something of. */
  get #known() {
    return this.options.series.filter(({ key }) => this.#points[key]?.length);
  }

  get #visible() {
    return this.#known.filter(({ key }) => !this.#hidden.has(key));
  }

  #draw() {
    update(
      this.legend,
      this.#known.map((one) => this.#legendEntry(one)),
    );
    if (!this.values.hidden) return this.#fillTable();
    const { format, integer, unit } = this.options;
    const limit = this.#limit;
    const lines = this.#visible.map(({ key, tone }) => ({ tone, list: this.#points[key] }));
    const all = lines.flatMap(({ list }) => list);
    const most = Math.max(0, limit?.value ?? 0, ...all.map(({ v }) => v));
    this.#scale = scales(
      all.map(({ t }) => t),
      most,
      unit === "1024" ? niceStep1024(most / 3) : niceStep(most / 3, integer),
      this.plot.clientWidth || 640,
    );
    update(
      this.plot,
      grid(this.#scale, format),
      limit ? limitLine(this.#scale, limit) : null,
      lines.map(({ list, tone }) => line(this.#scale, list, tone)),
      svg("g", { class: "marks" }),
    );
    return this.#point(this.#pointerX);
  }

  #legendEntry({ key, label, tone }) {
    return h(
      "li",
      null,
      h(
        "button",
        {
          type: "button",
          class: `tone-${tone}`,
          "aria-pressed": String(!this.#hidden.has(key)),
          title: "Show or hide this line",
          onclick: () => {
            if (!this.#hidden.delete(key)) this.#hidden.add(key);
            this.#draw();
          },
        },
        h("span", { class: "swatch", "aria-hidden": "true" }),
        label,
        " ",
        h("b", null, this.options.format(this.#points[key].at(-1)?.v)),
      ),
    );
  }

  /** Marks the values next to where the pointer is, and says them; null if it is elsewhere. */
  #point(x) {
    this.#pointerX = x;
    const shown = x === null || !this.#scale ? [] : this.#visible;
    this.cursor.hidden = !shown.length;
    const marks = this.plot.querySelector(".marks");
    if (!shown.length) return marks && update(marks);
    const scale = this.#scale;
    const found = shown.map((one) => ({ ...one, at: nearest(this.#points[one.key], scale.t(x)) }));
    const { t } = found[0].at;
    const across = scale.x(t);
    update(
      marks,
      svg("line", { class: "hair", x1: across, x2: across, y1: TOP, y2: HEIGHT - BOTTOM }),
      found
        .filter(({ at }) => at.v !== null)
        .map(({ tone, at }) =>
          svg("circle", { class: `tone-${tone}`, cx: scale.x(at.t), cy: scale.y(at.v), r: 3.5 }),
        ),
    );
    update(
      this.cursor,
      h("b", null, clock(t)),
      found.map(({ label, at }) => h("span", null, `${label} ${this.options.format(at.v)}`)),
    );
    const left = across > scale.width / 2;
    this.cursor.classList.toggle("left", left);
    this.cursor.style.setProperty("--x", `${left ? scale.width - across : across}px`);
    return undefined;
  }

  #showTable(on) {
    this.toggle.setAttribute("aria-pressed", String(on));
    this.values.hidden = !on;
    this.plot.toggleAttribute("hidden", on);
    this.#point(null);
    this.#draw();
  }

  /** The same values in rows, the newest first. */
  #fillTable() {
    const known = this.#known;
    const cells = (tag, texts) => texts.map((text) => h(tag, { class: "number" }, text));
    const times = (known.length ? this.#points[known[0].key] : []).map(({ t }) => t).reverse();
    const row = (t) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, clock(t)),
        cells(
          "td",
          known.map(({ key }) => this.options.format(nearest(this.#points[key], t).v)),
        ),
      );
    update(
      this.values,
      h(
        "table",
        null,
        h("caption", { class: "unseen" }, this.options.title),
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            h("th", { scope: "col" }, "Time"),
            known.map(({ label }) => h("th", { scope: "col", class: "number" }, label)),
          ),
        ),
        h("tbody", null, times.map(row)),
      ),
    );
  }
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
    .filter(({ v }) => v !== null)
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

/** The same of what is never 0, such as used memory: zeros at the beginning were not measured. */
export function levelsSinceStart(details) {
  const list = levels(details);
  const start = list.findIndex(({ v }) => v !== 0);
  return list.map(({ t, v }, index) => ({ t, v: index < start ? null : v }));
}

/** What is there at a time, of what came and what went so far. */
export function differences(came, went) {
  const gone = levels(went);
  return levels(came).map(({ t, v }, index) => ({ t, v: Math.max(0, v - (gone[index]?.v ?? 0)) }));
}

/** Reads sampled counters of the API as rates, oldest first. */
export function rates(details) {
  const list = levels(details);
  return list.slice(1).map(({ t, v }, index) => {
    const before = list[index];
    return { t, v: Math.max(0, (v - before.v) / ((t - before.t) / 1000)) };
  });
}
