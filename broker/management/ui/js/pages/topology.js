/* Owns the live picture of what routes where: exchanges, bindings, queues, and what flows between them.
 *
 * The picture is drawn again only when the topology changes; rates and lengths are written into it.
 * A table below says the same in words. */

import { exchangeSegment, get, path } from "../api.js";
import { debounce, h, update } from "../dom.js";
import { count, plural, value } from "../format.js";
import { exchangeLink, queueLink } from "../parts.js";
import { Picture } from "../picture.js";
import { link, location, setOptions } from "../router.js";
import { preference, session } from "../session.js";

const SHOWN_MAX = 200; // exchanges, and as many queues
const STEPS = [1, 2, 3, 5];

export async function show(view) {
  const vhost = preference.vhost || session.defaultVhost;
  const { options } = location();
  const around = ["exchange", "queue"].find((kind) => options.has(kind));
  const filter = h("input", {
    type: "search",
    class: "filter",
    "data-filter": true,
    "aria-label": "Show exchanges and queues with",
    placeholder: "Filter by name",
    spellcheck: "false",
    value: options.get("name") ?? "",
    oninput: debounce(250, () => {
      setOptions({ name: filter.value });
      view.refresh();
    }),
  });
  const steps = h(
    "select",
    {
      id: "steps",
      onchange: () => {
        setOptions({ steps: steps.value });
        view.refresh();
      },
    },
    STEPS.map((n) =>
      h("option", { value: n, selected: String(n) === options.get("steps") }, plural(n, "step")),
    ),
  );
  const position = h("span", { class: "position", role: "status" });
  const picture = new Picture((node) => addressOf(vhost, node, around && options.get(around)));
  const words = h("ul", { class: "pairs" });
  view.heading("Topology", {
    hint: `What routes where in the virtual host “${vhost}”. Blue lines move while messages flow; a yellow queue holds messages that nobody consumes. Choose a box to see only what is near it.`,
  });
  view.add(
    around && focusBar(vhost, around, options.get(around), steps),
    h("div", { class: "listing-bar" }, !around && filter, position, picture.controls),
    picture.element,
    h("details", { class: "folded" }, h("summary", null, "The same in words"), words),
  );
  await view.poll(async (signal) => {
    const query = around
      ? { [around]: options.get(around), steps: steps.value }
      : { name: filter.value };
    const graph = await get(path`/topology/${vhost}`, { ...query, limit: SHOWN_MAX }, signal);
    picture.show(graph);
    position.textContent = counted(graph);
    update(
      words,
      graph.bindings.map((binding) => h("li", null, inWords(binding))),
      graph.ways.map((way) => h("li", null, wayInWords(way))),
    );
  });
}

/** What a box leads to: the picture around it, or the page of what is in the middle already. */
function addressOf(vhost, { kind, name }, middle) {
  const segment = kind === "exchange" ? exchangeSegment(name) : name;
  if (segment !== middle) return link`/topology` + `?${new URLSearchParams({ [kind]: segment })}`;
  return kind === "queue" ? link`/queues/${vhost}/${name}` : link`/exchanges/${vhost}/${segment}`;
}

function focusBar(vhost, kind, segment, steps) {
  const thing =
    kind === "queue"
      ? queueLink(vhost, segment)
      : exchangeLink(vhost, segment === "amq.default" ? "" : segment);
  return h(
    "p",
    { class: "focus-bar" },
    h("span", null, `Around the ${kind} `, thing),
    h("span", null, h("label", { for: "steps" }, "Distance"), " ", steps),
    h("a", { href: "#/topology" }, "Show everything"),
  );
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

function wayInWords({ kind, source, destination, destination_type: type, routing_key: key }) {
  return [
    h("b", null, source),
    kind === "alternate"
      ? " passes on what it cannot route to the exchange "
      : ` dead-letters to the ${type} `,
    h("b", null, destination),
    key ? ` with the key “${key}”` : "",
  ];
}
