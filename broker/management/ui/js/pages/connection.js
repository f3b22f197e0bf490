/* Owns the page of one connection: who it is, what it sends, its channels, and how to close it. */

import { get, headerText, path, remove } from "../api.js";
import { dataChart, periodChoice } from "../charts.js";
import { attempt, confirmLoss } from "../dialog.js";
import { h, update } from "../dom.js";
import { bytes, duration, moment } from "../format.js";
import { facts, getNamed, section, state, table, userLink } from "../parts.js";
import { go } from "../router.js";
import { local } from "../sources.js";
import { createTable } from "../table.js";
import { CHANNEL_COLUMNS } from "./channels.js";

export async function show(view, { name }) {
  const period = periodChoice(() => view.refresh());
  const close = h(
    "button",
    { type: "button", class: "danger", onclick: () => closing(name) },
    "Close connection",
  );
  view.heading(name, { kind: "Connection", actions: [period.element, close] });
  const details = h("dl", { class: "facts" });
  const data = dataChart();
  view.add(details, h("div", { class: "charts" }, data.element));
  await view.poll(async (signal) => {
    const connection = await getNamed(
      path`/connections/${name}`,
      "connection",
      period.query(),
      signal,
    );
    update(details, describe(connection));
    data.show(connection);
  });
  if (!details.children.length) return;
  const properties = h("div");
  const channels = createTable(view, {
    id: "connection-channels",
    caption: "Channels of this connection",
    noun: "channel",
    source: local((signal) => get(path`/connections/${name}/channels`, null, signal)),
    rowKey: (row) => row.name,
    empty: "It has no channel open.",
    columns: CHANNEL_COLUMNS(),
  });
  view.add(section("Channels", channels.element), properties);
}

function describe(connection) {
  return facts([
    ["Name given by the client", connection.user_provided_name],
    ["State", state(connection.state)],
    ["User", connection.user && userLink(connection.user)],
    ["Virtual host", connection.vhost],
    ["Protocol", connection.protocol],
    ["From", connection.peer_host && `${connection.peer_host} port ${connection.peer_port}`],
    ["To", connection.host && `${connection.host} port ${connection.port}`],
    ["Connected", moment(connection.connected_at)],
    ["Login by", connection.auth_mechanism],
    ["Heartbeat", connection.timeout ? duration(connection.timeout * 1000) : "none"],
    ["Largest frame", bytes(connection.frame_max)],
    ["Channels allowed", connection.channel_max],
    [
      "TLS",
      connection.ssl
        ? [connection.ssl_protocol, connection.ssl_cipher].filter(Boolean).join(", ") || "yes"
        : "no",
    ],
    ["Certificate of the client", connection.peer_cert_subject],
    ["Client properties", table(connection.client_properties)],
  ]);
}

async function closing(name) {
  const sure = await confirmLoss({
    action: "Close",
    what: "connection",
    name,
    loses:
      "The client sees connection.close. Its unacknowledged messages go back to their queues; most clients connect again by themselves.",
    reason: "Reason, told to the client",
  });
  if (!sure) return;
  const headers = sure.reason ? { "X-Reason": headerText(sure.reason) } : {};
  const close = () => remove(path`/connections/${name}`, headers);
  if (await attempt(close, "The connection is closed.")) go("/connections");
}
