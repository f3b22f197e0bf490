/* Owns the list of connections. */

import { h } from "../dom.js";
import { ago, bytes, count, moment, rate } from "../format.js";
import { connectionLink, scoped, state, userLink, vhostColumn } from "../parts.js";
import { preference } from "../session.js";
import { path } from "../api.js";
import { remote } from "../sources.js";
import { createTable } from "../table.js";

const FIELDS = [
  "name",
  "user_provided_name",
  "vhost",
  "user",
  "state",
  "ssl",
  "protocol",
  "channels",
  "connected_at",
  "client_properties",
  "recv_oct",
  "recv_oct_details",
  "send_oct",
  "send_oct_details",
  "peer_host",
  "peer_port",
];

/** RabbitMQ's address for the connections of one virtual host is not like that of its other lists. */
export function inVhost(list) {
  return preference.vhost ? () => `${path`/vhosts/${preference.vhost}`}${list}` : scoped(list);
}

export async function show(view) {
  view.heading("Connections");
  const table = createTable(view, {
    id: "connections",
    caption: "Connections",
    noun: "connection",
    inAddress: true,
    source: remote(inVhost("/connections"), FIELDS),
    rowKey: (row) => row.name,
    empty: "No client is connected. Point one at the AMQP port that the overview lists.",
    columns: [
      {
        key: "name",
        label: "Name",
        sort: "name",
        cell: (row) =>
          h(
            "span",
            null,
            connectionLink(
              row.name,
              row.user_provided_name || row.client_properties?.connection_name,
            ),
            (row.user_provided_name || row.client_properties?.connection_name) &&
              h("small", { class: "under" }, row.name),
          ),
      },
      ...vhostColumn(),
      { key: "user", label: "User", sort: "user", cell: (row) => userLink(row.user) },
      { key: "state", label: "State", sort: "state", cell: (row) => state(row.state) },
      {
        key: "tls",
        label: "TLS",
        narrow: false,
        sort: "ssl",
        cell: (row) => (row.ssl ? "yes" : "no"),
      },
      { key: "client", label: "Client", narrow: false, cell: client },
      {
        key: "channels",
        label: "Channels",
        numeric: true,
        sort: "channels",
        cell: (row) => count(row.channels),
      },
      {
        key: "in",
        label: "From client",
        numeric: true,
        narrow: false,
        sort: "recv_oct_details.rate",
        cell: (row) => octets(row.recv_oct_details),
      },
      {
        key: "out",
        label: "To client",
        numeric: true,
        narrow: false,
        sort: "send_oct_details.rate",
        cell: (row) => octets(row.send_oct_details),
      },
      {
        key: "since",
        label: "Connected",
        sort: "connected_at",
        narrow: false,
        cell: (row) => h("span", { title: moment(row.connected_at) }, ago(row.connected_at)),
      },
    ],
  });
  view.add(table.element);
  await table.ready;
}

function client({ client_properties: properties = {} }) {
  return [properties.product, properties.version].filter(Boolean).join(" ") || "unknown";
}

function octets(details) {
  return details
    ? details.rate
      ? `${bytes(details.rate)}/s`
      : h("span", { class: "quiet-text" }, rate(0))
    : "–";
}
