/* Owns the list of virtual hosts, and the form that adds one. */

import { get, path, put } from "../api.js";
import { count } from "../format.js";
import { createForm, folded } from "../form.js";
import { given, rateCell, vhostLink } from "../parts.js";
import { session } from "../session.js";
import { local } from "../sources.js";
import { createTable } from "../table.js";

export async function show(view) {
  view.heading("Virtual hosts", {
    hint: "Each has its own exchanges, queues, policies and permissions; a connection uses one.",
  });
  const table = createTable(view, {
    id: "vhosts",
    caption: "Virtual hosts",
    noun: "virtual host",
    inAddress: true,
    sort: "name",
    source: local((signal) => get("/vhosts", null, signal)),
    rowKey: (row) => row.name,
    empty: "There is no virtual host that you may see.",
    columns: [
      {
        key: "name",
        label: "Name",
        sort: "name",
        cell: (row) => vhostLink(row.name),
      },
      { key: "description", label: "Description", cell: (row) => given(row.description) },
      {
        key: "type",
        label: "Default queue type",
        narrow: false,
        cell: (row) => named(row.default_queue_type),
      },
      {
        key: "ready",
        label: "Ready",
        numeric: true,
        sort: "messages_ready",
        cell: (row) => count(row.messages_ready ?? 0),
      },
      {
        key: "unacked",
        label: "Unacked",
        numeric: true,
        sort: "messages_unacknowledged",
        cell: (row) => count(row.messages_unacknowledged ?? 0),
      },
      {
        key: "in",
        label: "In",
        numeric: true,
        narrow: false,
        cell: (row) => rateCell(row.message_stats, "publish"),
      },
      {
        key: "out",
        label: "Out",
        numeric: true,
        narrow: false,
        cell: (row) => rateCell(row.message_stats, "deliver_get"),
      },
    ],
  });
  view.add(folded("Add a virtual host", addForm(table)), table.element);
  await table.ready;
}

/** RabbitMQ writes "undefined" for a default queue type that was not chosen. */
export function named(type) {
  return !type || type === "undefined" ? "classic" : type;
}

/** What a virtual host can be told about itself; `vhost` has what it was told before. */
export function vhostFields(vhost = {}) {
  return [
    { name: "description", label: "Description", value: vhost.description },
    {
      name: "tags",
      label: "Tags",
      hint: "Separated by commas.",
      value: [vhost.tags ?? []].flat().join(", "),
    },
    {
      name: "type",
      label: "Default queue type",
      type: "select",
      value: named(vhost.default_queue_type),
      hint: "For queues declared without one.",
      options: ["classic", "quorum", "stream"],
    },
    {
      name: "isProtected",
      label: "Protected: it cannot be deleted before this is taken back",
      type: "checkbox",
      value: vhost.protected_from_deletion,
    },
  ];
}

function addForm(table) {
  return createForm({
    submit: "Add virtual host",
    done: ({ name }) =>
      `The virtual host “${name}” is there. Give users permissions for it on its page.`,
    fields: [{ name: "name", label: "Name", required: true }, ...vhostFields()],
    onSubmit: async ({ name, description, tags, type, isProtected }) => {
      await put(path`/vhosts/${name}`, {
        description,
        tags,
        ...(type !== "classic" && { default_queue_type: type }),
        ...(isProtected && { protected_from_deletion: true }),
      });
      await session.loadVhosts();
      document.dispatchEvent(new Event("vhosts"));
      await table.reload();
    },
  });
}
