/* Owns the page of one channel: what it publishes and consumes. */

import { path } from "../api.js";
import { periodChoice, ratesChart } from "../charts.js";
import { h, update } from "../dom.js";
import { count } from "../format.js";
import { connectionLink, facts, getNamed, section, state, userLink } from "../parts.js";
import { consumersTable } from "../consumers.js";

export async function show(view, { name }) {
  const period = periodChoice(() => view.refresh());
  view.heading(name, { kind: "Channel", actions: [period.element] });
  const details = h("dl", { class: "facts" });
  const moving = ratesChart();
  let channel = null;
  let consumers = null;
  view.add(details, h("div", { class: "charts" }, moving.element));
  await view.poll(async (signal) => {
    channel = await getNamed(path`/channels/${name}`, "channel", period.query(), signal);
    update(details, describe(channel));
    moving.show(channel.message_stats ?? {});
    consumers?.reload();
  });
  if (!channel) return;
  consumers = consumersTable(view, {
    details: () => channel.consumer_details,
    of: "channel",
    empty: "Nothing is consumed on this channel.",
  });
  view.add(section("Consumers", consumers.element));
}

function describe(channel) {
  return facts([
    ["Connection", channel.connection_details && connectionLink(channel.connection_details.name)],
    ["State", state(channel.state)],
    ["User", channel.user && userLink(channel.user)],
    ["Virtual host", channel.vhost],
    [
      "Mode",
      channel.transactional ? "transactional" : channel.confirm ? "publisher confirms" : "plain",
    ],
    ["Prefetch of each consumer", channel.prefetch_count || "no limit"],
    ["Prefetch of the channel", channel.global_prefetch_count || "no limit"],
    ["Unacknowledged", count(channel.messages_unacknowledged)],
    ["Unconfirmed", channel.confirm && count(channel.messages_unconfirmed)],
    ["Uncommitted publishes", channel.transactional && count(channel.messages_uncommitted)],
    ["Uncommitted acks", channel.transactional && count(channel.acks_uncommitted)],
  ]);
}
