/* Owns the page of one exchange: its rates, bindings from and to it, publishing, deleting. */

import { exchangeSegment, get, path, remove } from "../api.js";
import { bindForm, bindingsTable } from "../bindings.js";
import { periodChoice, ratesChart } from "../charts.js";
import { attempt, confirmLoss } from "../dialog.js";
import { h, update } from "../dom.js";
import { folded } from "../form.js";
import { facts, getNamed, section, table } from "../parts.js";
import { publishForm } from "../publish.js";
import { go } from "../router.js";

export async function show(view, { vhost, name: segment }) {
  const name = segment === "amq.default" ? "" : segment;
  const address = path`/exchanges/${vhost}/${exchangeSegment(name)}`;
  const own = name !== "" && !name.startsWith("amq.");
  const period = periodChoice(() => view.refresh());
  view.heading(name || "(default)", {
    kind: "Exchange",
    hint:
      name === "" &&
      "The default exchange: every queue is bound to it with its own name as the key. It cannot be bound or deleted.",
    actions: [
      period.element,
      own &&
        h(
          "button",
          { type: "button", class: "danger", onclick: () => deleting(name, address) },
          "Delete exchange",
        ),
    ],
  });
  const details = h("dl", { class: "facts" });
  const moving = ratesChart();
  view.add(details, h("div", { class: "charts" }, moving.element));
  let internal = false;
  await view.poll(async (signal) => {
    const exchange = await getNamed(address, "exchange", period.query(), signal);
    internal = exchange.internal;
    update(details, describe(exchange));
    moving.show(exchange.message_stats ?? {});
  });
  if (!details.children.length) return;
  if (name !== "") {
    const side = (end) => (signal) => get(`${address}/bindings/${end}`, null, signal);
    const from = bindingsTable(view, {
      vhost,
      load: side("source"),
      other: "destination",
      empty: "Nothing is bound to this exchange: what is published here goes nowhere.",
    });
    const to = bindingsTable(view, {
      vhost,
      load: side("destination"),
      other: "source",
      empty: "No other exchange routes to this one.",
    });
    view.add(
      section(
        "Routes to",
        from.element,
        folded("Bind a queue or exchange to it", bindForm(from, { vhost, source: name })),
      ),
      section("Gets from", to.element),
    );
  }
  if (!internal)
    view.add(section("Publish a message", publishForm(view, { vhost, exchange: name })));
}

function describe(exchange) {
  return facts([
    ["Virtual host", exchange.vhost],
    ["Type", exchange.type],
    ["Durability", exchange.durable ? "durable: survives a restart" : "transient"],
    ["Deletion", exchange.auto_delete && "with its last binding"],
    ["Internal", exchange.internal && "only other exchanges route to it"],
    ["Policy", exchange.policy],
    ["Arguments", table(exchange.arguments)],
  ]);
}

async function deleting(name, address) {
  const sure = await confirmLoss({
    action: "Delete",
    what: "exchange",
    name,
    loses:
      "Its bindings go with it. Publishing to it then closes the publisher's channel with an error.",
  });
  if (sure && (await attempt(() => remove(address), `The exchange “${name}” is deleted.`)))
    go("/exchanges");
}
