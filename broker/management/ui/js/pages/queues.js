/* Owns the list of queues and streams, and the form that adds one. */

import { path, put, remove } from "../api.js";
import { attempt, confirmLoss } from "../dialog.js";
import { h, update } from "../dom.js";
import { bytes, count, plural } from "../format.js";
import { createForm, folded } from "../form.js";
import { QUEUE_ARGUMENTS } from "../known.js";
import { badge, queueLink, rateColumn, scoped, state, vhostColumn, vhostField } from "../parts.js";
import { link } from "../router.js";
import { remote } from "../sources.js";
import { createTable } from "../table.js";

const FIELDS = [
  "name",
  "vhost",
  "type",
  "state",
  "durable",
  "auto_delete",
  "exclusive",
  "arguments",
  "policy",
  "messages",
  "messages_ready",
  "messages_unacknowledged",
  "message_bytes",
  "consumers",
  "idle_since",
  "message_stats",
];

/** Arguments worth a badge: what they are called, and what they do. */
const BADGES = {
  "x-message-ttl": ["TTL", "messages expire"],
  "x-expires": ["Exp", "is deleted when unused"],
  "x-max-length": ["Lim", "limited length"],
  "x-max-length-bytes": ["Lim B", "limited size"],
  "x-max-priority": ["Pri", "priorities"],
  "x-dead-letter-exchange": ["DLX", "dead-letters to an exchange"],
  "x-single-active-consumer": ["SAC", "single active consumer"],
  "x-message-group-header": ["Grp", "message groups"],
  "x-delayed-retry-type": ["Retry", "returned messages wait before the next delivery"],
};

export async function show(view) {
  const purge = h("button", {
    type: "button",
    class: "danger",
    hidden: true,
    onclick: () => losing(table, "Purge"),
  });
  const drop = h("button", {
    type: "button",
    class: "danger",
    hidden: true,
    onclick: () => losing(table, "Delete"),
  });
  view.heading("Queues and streams", { actions: [purge, drop] });
  const table = createTable(view, {
    id: "queues",
    caption: "Queues and streams",
    noun: "queue",
    inAddress: true,
    source: remote(scoped("/queues"), FIELDS),
    selectable: true,
    onSelect: (rows) => {
      purge.hidden = drop.hidden = !rows.length;
      update(purge, `Purge ${count(rows.length)} selected`);
      update(drop, `Delete ${count(rows.length)} selected`);
    },
    rowKey: (row) => `${row.vhost}\n${row.name}`,
    empty: h(
      "p",
      null,
      "There are no queues here yet. Add one above, or start an application that declares its own.",
    ),
    columns: [
      { key: "name", label: "Name", sort: "name", cell: (row) => queueLink(row.vhost, row.name) },
      ...vhostColumn(),
      { key: "type", label: "Type", sort: "type", cell: (row) => row.type },
      { key: "features", label: "Features", narrow: false, cell: features },
      {
        key: "state",
        label: "State",
        sort: "state",
        narrow: false,
        cell: (row) => state(row.state),
      },
      {
        key: "ready",
        label: "Ready",
        numeric: true,
        sort: "messages_ready",
        cell: (row) => count(row.messages_ready),
      },
      {
        key: "unacked",
        label: "Unacked",
        numeric: true,
        sort: "messages_unacknowledged",
        cell: (row) => count(row.messages_unacknowledged),
      },
      {
        key: "total",
        label: "Total",
        numeric: true,
        sort: "messages",
        cell: (row) => count(row.messages),
      },
      {
        key: "bytes",
        label: "Bytes",
        numeric: true,
        optional: true,
        sort: "message_bytes",
        cell: (row) => bytes(row.message_bytes),
      },
      {
        key: "consumers",
        label: "Consumers",
        numeric: true,
        sort: "consumers",
        cell: (row) => count(row.consumers),
      },
      rateColumn("publish", "In"),
      rateColumn("deliver_get", "Out"),
      rateColumn("ack", "Ack"),
      rateColumn("redeliver", "Redelivered", { optional: true }),
    ],
  });
  view.add(folded("Add a queue", addForm(table)), table.element);
  await table.ready;
}

/** Purges or deletes what is ticked, one request after the other. */
async function losing(table, action) {
  const rows = table.selected;
  const messages = rows.reduce((sum, row) => sum + (row.messages ?? 0), 0);
  const names =
    rows
      .slice(0, 8)
      .map(({ name }) => name)
      .join("\n") + (rows.length > 8 ? `\nand ${rows.length - 8} more` : "");
  const sure = await confirmLoss({
    action,
    what: plural(rows.length, "queue"),
    name: names,
    loses: messages
      ? `${plural(messages, "message")} will be gone for good.`
      : "They hold no message.",
  });
  if (!sure) return;
  const end = action === "Purge" ? "/contents" : "";
  await attempt(
    async () => {
      for (const { vhost, name } of rows) await remove(path`/queues/${vhost}/${name}` + end);
    },
    `${plural(rows.length, "queue")} ${action === "Purge" ? "purged" : "deleted"}.`,
  );
  table.clearSelection();
  table.reload();
}

/** What sets a queue apart, as badges. */
function features(row) {
  const shown = Object.keys(row.arguments ?? {})
    .filter((key) => BADGES[key])
    .map((key) => badge(BADGES[key][0], `${BADGES[key][1]} (${key}: ${row.arguments[key]})`));
  return h(
    "span",
    { class: "badges" },
    !row.durable && badge("Transient", "does not survive a restart"),
    row.auto_delete && badge("AD", "is deleted with its last consumer"),
    row.exclusive && badge("Excl", "belongs to one connection"),
    shown,
    row.policy && badge(row.policy, `policy “${row.policy}”`, "policy"),
  );
}

function addForm(table) {
  return createForm({
    submit: "Add queue",
    done: ({ name }) => `The queue “${name}” is there.`,
    fields: [
      vhostField(),
      {
        name: "type",
        label: "Type",
        type: "select",
        value: "classic",
        options: [
          { value: "classic", label: "classic: any queue, transient or durable" },
          { value: "quorum", label: "quorum: always durable, counts returns" },
          { value: "stream", label: "stream: keeps messages after they are read" },
        ],
      },
      { name: "name", label: "Name", required: true },
      {
        name: "durable",
        label: "Durable: survives a restart",
        type: "checkbox",
        value: true,
        when: ({ type }) => type === "classic",
      },
      {
        name: "autoDelete",
        label: "Delete with the last consumer",
        type: "checkbox",
        when: ({ type }) => type === "classic",
      },
      { name: "arguments", label: "Arguments", type: "arguments", known: QUEUE_ARGUMENTS },
    ],
    onSubmit: async ({ vhost, name, type, durable, autoDelete, arguments: given }) => {
      const classic = type === "classic";
      await put(path`/queues/${vhost}/${name}`, {
        durable: classic ? durable : true,
        auto_delete: classic && autoDelete,
        arguments: { ...given, "x-queue-type": type },
      });
      await table.reload();
      document.querySelector(`a[href="${CSS.escape(link`/queues/${vhost}/${name}`)}"]`)?.focus();
    },
  });
}
