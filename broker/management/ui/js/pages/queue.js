/* Owns the page of one queue or stream: how full it is, who takes from it, its messages, its bindings. */

import { get, path, remove } from "../api.js";
import { bindForm, bindingsTable } from "../bindings.js";
import { periodChoice, queuedChart, ratesChart } from "../charts.js";
import { consumersTable } from "../consumers.js";
import { attempt, confirmLoss } from "../dialog.js";
import { h, update } from "../dom.js";
import { bytes, compact, count, duration, moment, plural } from "../format.js";
import { folded } from "../form.js";
import { messageBrowser } from "../messages.js";
import { badge, connectionLink, facts, getNamed, section, state, table } from "../parts.js";
import { publishForm } from "../publish.js";
import { go } from "../router.js";

export async function show(view, { vhost, name }) {
  const address = path`/queues/${vhost}/${name}`;
  let queue = {};
  let consumers = null;
  const period = periodChoice(() => view.refresh());
  const button = (text, onclick) => h("button", { type: "button", class: "danger", onclick }, text);
  view.heading(name, {
    kind: "Queue",
    actions: [
      period.element,
      button("Purge", () => purging(view, address, queue)),
      button("Delete queue", () => deleting(address, queue)),
    ],
  });
  const figures = h("dl", { class: "figures small" });
  const details = h("dl", { class: "facts" });
  const queued = queuedChart();
  const moving = ratesChart();
  view.add(figures, h("div", { class: "charts" }, queued.element, moving.element), details);
  await view.poll(async (signal) => {
    queue = await getNamed(address, "queue", period.query(), signal);
    view.root.querySelector(".kind").textContent = isStream(queue) ? "Stream" : "Queue";
    update(figures, summary(queue));
    update(details, describe(queue));
    queued.show(queue);
    moving.show(queue.message_stats ?? {});
    consumers?.reload();
  });
  if (!queue.name && queue.name !== "") return;
  consumers = consumersTable(view, {
    details: () => queue.consumer_details,
    of: "queue",
    empty: isStream(queue)
      ? "Nobody reads this stream."
      : "Nobody consumes from this queue: its messages wait.",
  });
  const bindings = bindingsTable(view, {
    vhost,
    load: (signal) => get(`${address}/bindings`, null, signal),
    other: "source",
    empty: "No exchange routes here.",
  });
  view.add(
    section("Messages", messageBrowser(view, { vhost, name })),
    section("Consumers", consumers.element),
    section(
      "Bindings",
      bindings.element,
      folded("Bind it to an exchange", bindForm(bindings, { vhost, queue: name })),
    ),
    folded(
      "Publish a message to this queue",
      publishForm(view, { vhost, exchange: "", key: name }),
    ),
  );
}

const isStream = ({ type }) => type === "stream";

function summary(queue) {
  const figure = (label, text, under) =>
    h("div", null, h("dt", null, label), h("dd", null, text, under && h("small", null, under)));
  return [
    figure("Ready", compact(queue.messages_ready ?? 0), bytes(queue.message_bytes_ready)),
    figure(
      "Unacknowledged",
      compact(queue.messages_unacknowledged ?? 0),
      bytes(queue.message_bytes_unacknowledged),
    ),
    figure("Total", compact(queue.messages ?? 0), bytes(queue.message_bytes)),
    figure(
      "Consumers",
      count(queue.consumers ?? 0),
      Number.isFinite(queue.consumer_utilisation) && queue.consumers
        ? `ready for more ${Math.round(queue.consumer_utilisation * 100)} % of the time`
        : null,
    ),
  ];
}

function describe(queue) {
  return facts([
    ["Virtual host", queue.vhost],
    ["Type", queue.type],
    ["State", state(queue.state)],
    ["Features", features(queue)],
    ["Policy", queue.policy],
    ["Operator policy", queue.operator_policy],
    ["Oldest message", queue.head_message_timestamp && moment(queue.head_message_timestamp * 1000)],
    ["Unused since", queue.idle_since && moment(Date.parse(queue.idle_since))],
    ["Memory", Number.isFinite(queue.memory) && bytes(queue.memory)],
    ["Belongs to", queue.owner_pid_details?.name && connectionLink(queue.owner_pid_details.name)],
    ["Active consumer", queue.single_active_consumer_tag],
    ["Arguments", table(queue.arguments)],
    ["In effect by policy", table(queue.effective_policy_definition)],
  ]);
}

function features(queue) {
  const badges = [
    queue.durable
      ? badge("Durable", "survives a restart")
      : badge("Transient", "does not survive a restart"),
    queue.auto_delete && badge("Auto-delete", "is deleted with its last consumer"),
    queue.exclusive && badge("Exclusive", "belongs to one connection"),
    queue.arguments?.["x-expires"] &&
      badge("Expires", `is deleted after ${duration(queue.arguments["x-expires"])} without use`),
  ];
  return h("span", { class: "badges" }, badges);
}

async function purging(view, address, queue) {
  const sure = await confirmLoss({
    action: "Purge",
    what: "queue",
    name: queue.name,
    typed: queue.messages_ready > 0,
    loses: queue.messages_ready
      ? `${plural(queue.messages_ready, "ready message")} will be gone for good. Unacknowledged ones stay.`
      : "No message is ready, so there is nothing to lose.",
  });
  if (
    sure &&
    (await attempt(() => remove(`${address}/contents`), `The queue “${queue.name}” is purged.`))
  )
    view.refresh();
}

async function deleting(address, queue) {
  const sure = await confirmLoss({
    action: "Delete",
    what: "queue",
    name: queue.name,
    typed: queue.messages > 0,
    loses: `${plural(queue.messages ?? 0, "message")} and its bindings go with it; ${plural(queue.consumers ?? 0, "consumer")} will be cancelled.`,
  });
  if (sure && (await attempt(() => remove(address), `The queue “${queue.name}” is deleted.`)))
    go("/queues");
}
