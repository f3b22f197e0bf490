/* Owns the live picture of what routes where: exchanges, bindings, queues, and what flows between them.
 *
 * The picture is drawn again only when the topology changes; rates and lengths are written into it.
 * A table below says the same in words. */

import { exchangeSegment, get, path } from "../api.js";
import { debounce, h, svg, update } from "../dom.js";
import { compact, count, plural, rate, value } from "../format.js";
import { BOX, layout } from "../layout.js";
import { link, location, setOptions } from "../router.js";
import { preference, session } from "../session.js";

const SHOWN_MAX = 60;
const LABEL_MAX = 20;

export async function show(view) {
  const vhost = preference.vhost || session.defaultVhost;
  const filter = h("input", {
    type: "search",
    class: "filter",
    "data-filter": true,
    "aria-label": "Show exchanges and queues with",
    placeholder: "Show exchanges and queues with",
    spellcheck: "false",
    value: location().options.get("name") ?? "",
    oninput: debounce(250, () => {
      setOptions({ name: filter.value });
      view.refresh();
    }),
  });
  const position = h("span", { class: "position", role: "status" });
  const picture = new Picture(vhost);
  const words = h("ul", { class: "pairs" });
  view.heading("Topology", {
    hint: `What routes where in the virtual host “${vhost}”: exchanges left, queues right. Lines move while messages flow; a yellow queue holds messages that nobody consumes. Point at a box to see what it is joined with.`,
  });
  view.add(
    h("div", { class: "listing-bar" }, filter, position),
    picture.element,
    h("details", { class: "folded" }, h("summary", null, "The same in words"), words),
  );
  await view.poll(async (signal) => {
    const graph = await get(
      path`/topology/${vhost}`,
      { name: filter.value, limit: SHOWN_MAX },
      signal,
    );
    picture.show(graph);
    position.textContent = counted(graph);
    update(
      words,
      graph.bindings.map((binding) => h("li", null, inWords(binding))),
    );
  });
}

function counted({ exchanges, queues, omitted }) {
  const text = `${plural(exchanges.length, "exchange")}, ${plural(queues.length, "queue")}.`;
  const more = (omitted?.exchanges ?? 0) + (omitted?.queues ?? 0);
  return more
    ? `${text} There are ${count(more)} more: type a part of a name to see others.`
    : text;
}

function inWords({
  source,
  destination,
  destination_type: type,
  routing_key: key,
  arguments: given,
}) {
  const extra = Object.keys(given ?? {}).length ? ` and ${value(given)}` : "";
  return [
    h("b", null, source),
    ` routes to the ${type} `,
    h("b", null, destination),
    ` with the key “${key}”${extra}`,
  ];
}

class Picture {
  #drawn = "";

  constructor(vhost) {
    this.vhost = vhost;
    this.element = h("div", {
      class: "topology",
      tabindex: "0",
      role: "group",
      "aria-label": "Picture of the topology",
    });
  }

  show(graph) {
    const nodes = [
      ...graph.exchanges.map((one) => ({
        ...one,
        id: `e:${one.name}`,
        kind: "exchange",
        flow: one.publish_in_rate ?? 0,
      })),
      ...graph.queues.map((one) => ({
        ...one,
        id: `q:${one.name}`,
        kind: "queue",
        flow: one.deliver_rate ?? 0,
      })),
    ];
    const edges = graph.bindings.map((one) => ({
      ...one,
      from: `e:${one.source}`,
      to: `${one.destination_type === "queue" ? "q" : "e"}:${one.destination}`,
    }));
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
      edges.map(({ from, to, routing_key: key }) => [from, to, key]),
    ]);
    if (shape !== this.#drawn) {
      this.#drawn = shape;
      this.#draw(nodes, edges);
    }
    this.#write(nodes);
  }

  #draw(nodes, edges) {
    const { places, width, height } = layout(nodes, edges);
    this.boxes = new Map(nodes.map((node) => [node.id, this.#box(node, places.get(node.id))]));
    this.lines = edges
      .filter(({ from, to }) => places.has(from) && places.has(to))
      .map((edge) => this.#line(edge, places));
    this.element.replaceChildren(
      svg(
        "svg",
        { width, height, viewBox: `0 0 ${width} ${height}` },
        svg(
          "g",
          { class: "edges" },
          this.lines.map(({ element }) => element),
        ),
        [...this.boxes.values()].map(({ element }) => element),
      ),
    );
  }

  #box(node, { x, y }) {
    const label =
      node.name.length > LABEL_MAX ? `${node.name.slice(0, LABEL_MAX - 1)}…` : node.name;
    const number = svg("text", {
      x: BOX.width - 10,
      y: BOX.height / 2 + 4,
      "text-anchor": "end",
      class: "amount",
    });
    const title = svg("title");
    const href =
      node.kind === "queue"
        ? link`/queues/${this.vhost}/${node.name}`
        : link`/exchanges/${this.vhost}/${exchangeSegment(node.name)}`;
    const mark = (on) => this.#mark(node.id, on);
    const element = svg(
      "a",
      {
        href,
        class: `box ${node.kind}`,
        transform: `translate(${x} ${y})`,
        onpointerenter: () => mark(true),
        onpointerleave: () => mark(false),
        onfocus: () => mark(true),
        onblur: () => mark(false),
      },
      title,
      svg("rect", { width: BOX.width, height: BOX.height, rx: node.kind === "queue" ? 4 : 15 }),
      svg("text", { x: 12, y: BOX.height / 2 + 4 }, label),
      number,
    );
    return { element, number, title };
  }

  #line(edge, places) {
    const a = places.get(edge.from);
    const b = places.get(edge.to);
    const [x1, y1, x2, y2] = [a.x + BOX.width, a.y + BOX.height / 2, b.x, b.y + BOX.height / 2];
    // A way back or a loop swings out, so that it is not hidden behind its boxes.
    const bend = x2 > x1 ? (x2 - x1) / 2 : 90;
    const element = svg(
      "path",
      { class: "edge", d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` },
      svg(
        "title",
        null,
        `${edge.source} → ${edge.destination}: ${edge.routing_key || "(empty key)"}`,
      ),
    );
    const text = svg(
      "text",
      { class: "edge-label", x: (x1 + x2) / 2, y: (y1 + y2) / 2 - 4, "text-anchor": "middle" },
      edge.routing_key,
    );
    return { from: edge.from, to: edge.to, element: svg("g", null, element, text), path: element };
  }

  #mark(id, on) {
    this.element.classList.toggle("focused", on);
    const near = new Set([id]);
    for (const line of this.lines) {
      const its = line.from === id || line.to === id;
      line.element.classList.toggle("near", on && its);
      if (its) near.add(line.from).add(line.to);
    }
    this.boxes.forEach(({ element }, other) =>
      element.classList.toggle("near", on && near.has(other)),
    );
  }

  #write(nodes) {
    const flowing = new Set();
    for (const node of nodes) {
      const { element, number, title } = this.boxes.get(node.id);
      const queue = node.kind === "queue";
      const amount = queue ? compact(node.messages ?? 0) : node.flow ? rate(node.flow) : "";
      if (number.textContent !== amount) number.textContent = amount;
      title.textContent = queue
        ? `Queue ${node.name} (${node.type}): ${plural(node.messages ?? 0, "message")}, ${plural(node.consumers ?? 0, "consumer")}, ${rate(node.flow)} delivered`
        : `Exchange ${node.name} (${node.type}): ${rate(node.flow)} published to it`;
      element.classList.toggle("waiting", queue && (node.messages ?? 0) > 0 && !node.consumers);
      if (node.flow > 0) flowing.add(node.id);
    }
    for (const { from, path: line } of this.lines)
      line.classList.toggle("flowing", flowing.has(from));
  }
}
