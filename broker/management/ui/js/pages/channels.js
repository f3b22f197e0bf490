/* Owns the list of channels, and the columns that other pages show channels with. */

import { h } from "../dom.js";
import { count } from "../format.js";
import { badge, channelLink, rateColumn, state, userLink, vhostColumn } from "../parts.js";
import { remote } from "../sources.js";
import { createTable } from "../table.js";
import { inVhost } from "./connections.js";

const FIELDS = [
  "name",
  "vhost",
  "user",
  "state",
  "idle_since",
  "confirm",
  "transactional",
  "consumer_count",
  "prefetch_count",
  "global_prefetch_count",
  "messages_unacknowledged",
  "messages_unconfirmed",
  "message_stats",
];

export const CHANNEL_COLUMNS = () => [
  { key: "name", label: "Channel", sort: "name", cell: (row) => channelLink(row.name) },
  ...vhostColumn(),
  { key: "user", label: "User", sort: "user", narrow: false, cell: (row) => userLink(row.user) },
  {
    key: "mode",
    label: "Mode",
    narrow: false,
    cell: (row) =>
      h(
        "span",
        { class: "badges" },
        row.confirm && badge("Confirm", "publishes are confirmed"),
        row.transactional && badge("Tx", "transactional"),
      ),
  },
  { key: "state", label: "State", sort: "state", cell: (row) => state(row.state) },
  {
    key: "consumers",
    label: "Consumers",
    numeric: true,
    sort: "consumer_count",
    cell: (row) => count(row.consumer_count),
  },
  {
    key: "unacked",
    label: "Unacked",
    numeric: true,
    sort: "messages_unacknowledged",
    cell: (row) => count(row.messages_unacknowledged),
  },
  {
    key: "unconfirmed",
    label: "Unconfirmed",
    numeric: true,
    optional: true,
    sort: "messages_unconfirmed",
    cell: (row) => count(row.messages_unconfirmed),
  },
  {
    key: "prefetch",
    label: "Prefetch",
    numeric: true,
    sort: "prefetch_count",
    cell: (row) => row.global_prefetch_count || row.prefetch_count || "no limit",
  },
  rateColumn("publish", "Publish"),
  rateColumn("confirm", "Confirm", { optional: true }),
  rateColumn("deliver_get", "Deliver"),
  rateColumn("ack", "Ack"),
];

export async function show(view) {
  view.heading("Channels");
  const table = createTable(view, {
    id: "channels",
    caption: "Channels",
    noun: "channel",
    inAddress: true,
    source: remote(inVhost("/channels"), FIELDS),
    rowKey: (row) => row.name,
    empty: "No channel is open. Clients open channels on their connections to publish and consume.",
    columns: CHANNEL_COLUMNS(),
  });
  view.add(table.element);
  await table.ready;
}
