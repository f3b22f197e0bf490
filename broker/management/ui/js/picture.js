/* Owns the drawing of a topology: boxes, the ways between them, and what flows.
 *
 * It is drawn again only when the topology changes; rates and lengths are written into it. */

import { h, svg, update } from "./dom.js";
import { compact, plural, rate } from "./format.js";
import { BOX, layout } from "./layout.js";

const NAME_MAX = 20;
const KEY_MAX = 24;
/** With more lines than this, their keys are shown only where one points. */
const KEYS_SHOWN_MAX = 16;
const SWING = 70;
const HEAD = 7;

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

export class Picture {
  #drawn = "";
  #boxes = new Map();
  #lines = [];

  /** `addressOf(node)` is where a box leads. */
  constructor(addressOf) {
    this.addressOf = addressOf;
    this.element = h("div", {
      class: "topology",
      tabindex: "0",
      role: "group",
      "aria-label": "Picture of the topology",
    });
    const fit = h(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        onclick: () =>
          fit.setAttribute("aria-pressed", String(this.element.classList.toggle("fit"))),
      },
      "Fit to the window",
    );
    this.controls = [
      h(
        "ul",
        { class: "line-kinds", "aria-label": "Kinds of lines" },
        key("binding", "binding"),
        key("alternate", "alternate exchange"),
        key("dead-letter", "dead letters"),
      ),
      fit,
    ];
  }

  show(graph) {
    const nodes = [
      ...graph.exchanges.map((one) => ({
        ...one,
        id: `exchange:${one.name}`,
        kind: "exchange",
        flow: one.publish_in_rate ?? 0,
      })),
      ...graph.queues.map((one) => ({
        ...one,
        id: `queue:${one.name}`,
        kind: "queue",
        flow: one.deliver_rate ?? 0,
      })),
    ];
    const edges = [
      ...graph.bindings.map((one) => ({ ...one, kind: "binding", from: `exchange:${one.source}` })),
      ...graph.ways.map((one) => ({
        ...one,
        from: `${one.kind === "alternate" ? "exchange" : "queue"}:${one.source}`,
      })),
    ].map((one) => ({ ...one, to: `${one.destination_type}:${one.destination}` }));
    if (!nodes.length) {
      this.#drawn = "";
      update(
        this.element,
        h(
          "p",
          { class: "empty" },
          "Nothing to draw: no exchange or queue here matches, or there is none yet.",
        ),
      );
      return;
    }
    const shape = JSON.stringify([
      nodes.map(({ id }) => id),
      edges.map(({ kind, from, to, routing_key: text }) => [kind, from, to, text]),
    ]);
    if (shape !== this.#drawn) {
      this.#drawn = shape;
      this.#draw(nodes, edges);
    }
    this.#write(nodes);
  }

  #draw(nodes, edges) {
    const { places, width, height } = layout(nodes, edges);
    const focused = document.activeElement?.dataset?.id;
    this.#boxes = new Map(nodes.map((node) => [node.id, this.#box(node, places.get(node.id))]));
    this.#lines = edges
      .filter(({ from, to }) => places.has(from) && places.has(to))
      .map((edge) => drawLine(edge, places.get(edge.from), places.get(edge.to)));
    this.element.classList.toggle("few", this.#lines.length <= KEYS_SHOWN_MAX);
    const whole = width + 2 * SWING; // a loop swings out beside its boxes, and has its key there
    this.element.replaceChildren(
      svg(
        "svg",
        { width: whole, height, viewBox: `0 0 ${whole} ${height}` },
        svg(
          "g",
          { class: "edges" },
          this.#lines.map(({ element }) => element),
        ),
        [...this.#boxes.values()].map(({ element }) => element),
      ),
    );
    this.#boxes.get(focused)?.element.focus();
  }

  #box(node, { x, y }) {
    const number = svg("text", {
      x: BOX.width - 10,
      y: BOX.height / 2 + 4,
      "text-anchor": "end",
      class: "amount",
    });
    const title = svg("title");
    const mark = (on) => this.#mark(node.id, on);
    const element = svg(
      "a",
      {
        href: this.addressOf(node),
        class: `box ${node.kind}`,
        "data-id": node.id,
        transform: `translate(${x} ${y})`,
        onpointerenter: () => mark(true),
        onpointerleave: () => mark(false),
        onfocus: () => mark(true),
        onblur: () => mark(false),
      },
      title,
      svg("rect", { width: BOX.width, height: BOX.height, rx: node.kind === "queue" ? 4 : 15 }),
      svg("text", { x: 12, y: BOX.height / 2 + 4 }, short(node.name || "(default)", NAME_MAX)),
      number,
    );
    return { element, number, title };
  }

  #mark(id, on) {
    this.element.classList.toggle("focused", on);
    const near = new Set([id]);
    for (const { from, to, element } of this.#lines) {
      const its = from === id || to === id;
      element.classList.toggle("near", on && its);
      if (its) near.add(from).add(to);
    }
    this.#boxes.forEach(({ element }, other) =>
      element.classList.toggle("near", on && near.has(other)),
    );
  }

  #write(nodes) {
    const flowing = new Set();
    for (const node of nodes) {
      const { element, number, title } = this.#boxes.get(node.id);
      const queue = node.kind === "queue";
      const amount = queue ? compact(node.messages ?? 0) : node.flow ? rate(node.flow) : "";
      if (number.textContent !== amount) number.textContent = amount;
      const text = queue
        ? `Queue ${node.name} (${node.type}): ${plural(node.messages ?? 0, "message")}, ${plural(node.consumers ?? 0, "consumer")}, ${rate(node.flow)} delivered`
        : `Exchange ${node.name} (${node.type}): ${rate(node.flow)} published to it`;
      if (title.textContent !== text) title.textContent = text;
      element.classList.toggle("waiting", queue && (node.messages ?? 0) > 0 && !node.consumers);
      if (node.flow > 0 && !queue) flowing.add(node.id);
    }
    for (const { kind, from, element } of this.#lines)
      element.classList.toggle("flowing", kind === "binding" && flowing.has(from));
  }
}

function key(kind, text) {
  return h(
    "li",
    null,
    svg(
      "svg",
      { width: 34, height: 10, "aria-hidden": "true" },
      svg("g", { class: kind }, svg("path", { class: "edge", d: "M1 5H33" })),
    ),
    text,
  );
}

/** A curve from box to box: to the right mostly, or back to the left, or a loop within a column. */
function drawLine(edge, a, b) {
  const level = BOX.height / 2;
  const leftward = b.x < a.x;
  const beside = b.x === a.x;
  const x1 = leftward ? a.x : a.x + BOX.width;
  const x2 = leftward || beside ? b.x + BOX.width : b.x;
  const [y1, y2] = [a.y + level, b.y + level];
  const bend = beside ? SWING : Math.abs(x2 - x1) / 2;
  const [c1, c2] = [leftward ? x1 - bend : x1 + bend, leftward || beside ? x2 + bend : x2 - bend];
  const toLeft = leftward || beside ? 1 : -1;
  const head = `M${x2 + toLeft * HEAD} ${y2 - 4}L${x2} ${y2}L${x2 + toLeft * HEAD} ${y2 + 4}`;
  const at = (p0, p1, p2, p3, t = 0.7) =>
    (1 - t) ** 3 * p0 + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t ** 2 * p2 + t ** 3 * p3;
  const text = edge.routing_key ?? "";
  const element = svg(
    "g",
    { class: edge.kind },
    svg("path", { class: "edge", d: `M${x1} ${y1}C${c1} ${y1} ${c2} ${y2} ${x2} ${y2}` }),
    svg("path", { class: "head", d: head }),
    svg(
      "title",
      null,
      `${edge.source} → ${edge.destination}, ${edge.kind.replace("-", " ")}: ${text || "(empty key)"}`,
    ),
    svg(
      "text",
      {
        class: "edge-label",
        x: at(x1, c1, c2, x2),
        y: at(y1, y1, y2, y2) - 4,
        "text-anchor": "middle",
      },
      short(text, KEY_MAX),
    ),
  );
  return { kind: edge.kind, from: edge.from, to: edge.to, element };
}
