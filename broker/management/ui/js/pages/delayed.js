/* Owns the list of delayed messages: what waits in exchanges of type x-delayed-message. */

import { path, remove } from "../api.js";
import { attempt, confirmLoss } from "../dialog.js";
import { h, update } from "../dom.js";
import { ago, bytes, moment } from "../format.js";
import { exchangeLink, given } from "../parts.js";
import { preference, session } from "../session.js";
import { remote } from "../sources.js";
import { createTable } from "../table.js";

export async function show(view) {
  const vhost = preference.vhost || session.defaultVhost;
  const cancel = h(
    "button",
    { type: "button", class: "danger", disabled: true, onclick: () => cancelling(table, vhost) },
    "Cancel selected",
  );
  view.heading("Delayed messages", {
    actions: [cancel],
    hint: `Messages in the virtual host “${vhost}” that wait for their time in an exchange, soonest first.`,
  });
  const table = createTable(view, {
    id: "delayed",
    caption: "Delayed messages",
    noun: "message",
    filterBy: "exchange",
    inAddress: true,
    selectable: true,
    source: remote(() => path`/delayed/${vhost}`),
    rowKey: (row) => String(row.id),
    onSelect: (rows) => {
      cancel.disabled = !rows.length;
      update(cancel, rows.length ? `Cancel ${rows.length} selected` : "Cancel selected");
    },
    empty: h(
      "p",
      null,
      "Nothing is delayed. Publish to an exchange of type ",
      h("code", null, "x-delayed-message"),
      " with a header ",
      h("code", null, "x-delay"),
      " in milliseconds, and the message waits here.",
    ),
    columns: [
      {
        key: "key",
        label: "Routing key",
        sort: "routing_key",
        cell: (row) => h("code", null, row.routing_key || "(empty)"),
      },
      {
        key: "exchange",
        label: "Exchange",
        sort: "exchange",
        cell: (row) => exchangeLink(row.vhost ?? vhost, row.exchange),
      },
      {
        key: "due",
        label: "Due",
        sort: "due_ms",
        cell: (row) => h("span", { title: moment(row.due_ms) }, ago(row.due_ms)),
      },
      { key: "at", label: "At", cell: (row) => moment(row.due_ms), narrow: false },
      {
        key: "size",
        label: "Size",
        numeric: true,
        sort: "payload_bytes",
        cell: (row) => bytes(row.payload_bytes),
      },
      {
        key: "id",
        label: "Message id",
        narrow: false,
        cell: (row) => given(row.properties?.message_id),
      },
    ],
  });
  view.add(table.element);
  await table.ready;
}

async function cancelling(table, vhost) {
  const rows = table.selected;
  const names =
    rows
      .slice(0, 5)
      .map((row) => row.routing_key || "(empty)")
      .join("\n") + (rows.length > 5 ? `\nand ${rows.length - 5} more` : "");
  const sure = await confirmLoss({
    action: "Cancel",
    what: rows.length === 1 ? "delayed message" : `${rows.length} delayed messages`,
    name: names,
    loses: "They will never be delivered.",
  });
  if (!sure) return;
  await attempt(
    () => Promise.all(rows.map((row) => remove(path`/delayed/${row.vhost ?? vhost}/${row.id}`))),
    "Cancelled.",
  );
  table.clearSelection();
  await table.reload();
}
