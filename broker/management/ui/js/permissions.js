/* Owns lists and forms of permissions, for the pages of users and of virtual hosts. */

import { path, put } from "./api.js";
import { h } from "./dom.js";
import { createForm } from "./form.js";
import { given, userLink, vhostLink } from "./parts.js";
import { removalColumn } from "./removal.js";
import { local } from "./sources.js";
import { createTable } from "./table.js";

const EXPLAIN = "A regular expression over names; .* is everything, empty is nothing.";
const pattern = (text) => h("code", null, text === "" ? "(nothing)" : text);
const patternColumn = (key, label) => ({ key, label, cell: (row) => pattern(row[key]) });

/** The column for the other side: of a user its virtual hosts, of a virtual host its users. */
function side(of) {
  return of === "vhost"
    ? {
        key: "vhost",
        label: "Virtual host",
        sort: "vhost",
        cell: (row) => vhostLink(row.vhost),
      }
    : { key: "user", label: "User", sort: "user", cell: (row) => userLink(row.user) };
}

function removal(what, address) {
  return removalColumn({
    action: "Clear",
    what,
    label: (row) => `Clear ${what} of ${row.user} in ${row.vhost}`,
    name: (row) => `${row.user} in ${row.vhost}`,
    loses: "What the user is doing now is refused from its next command on.",
    done: () => "Cleared.",
    address,
  });
}

/** Lists permissions; `of` is the side to show, "vhost" or "user". */
export function permissionTable(view, { load, of }) {
  return createTable(view, {
    id: `permissions-${of}`,
    caption: "Permissions",
    noun: "permission",
    source: local(load, (row) => row[of]),
    rowKey: (row) => `${row.vhost}\n${row.user}`,
    empty:
      of === "vhost"
        ? "No permissions: this user cannot open a connection."
        : "No user may use this virtual host.",
    columns: [
      side(of),
      patternColumn("configure", "Configure"),
      patternColumn("write", "Write"),
      patternColumn("read", "Read"),
      removal("permissions", (row) => path`/permissions/${row.vhost}/${row.user}`),
    ],
  });
}

/** Lists topic permissions in the same way. */
export function topicTable(view, { load, of }) {
  return createTable(view, {
    id: `topic-permissions-${of}`,
    caption: "Topic permissions",
    noun: "topic permission",
    source: local(load, (row) => row[of]),
    rowKey: (row) => `${row.vhost}\n${row.user}\n${row.exchange}`,
    empty: "None: routing keys are not restricted.",
    columns: [
      side(of),
      {
        key: "exchange",
        label: "Exchange",
        cell: (row) => given(row.exchange || "(all topic exchanges)"),
      },
      patternColumn("write", "Write"),
      patternColumn("read", "Read"),
      removal(
        "topic permissions",
        (row) => path`/topic-permissions/${row.vhost}/${row.user}/${row.exchange}`,
      ),
    ],
  });
}

/** A form for permissions; what `known` has of vhost and user is not asked for. */
export function permissionForm(table, known, ...asked) {
  return createForm({
    submit: "Set permissions",
    done: () => "The permissions are set.",
    fields: [
      ...asked,
      {
        name: "configure",
        label: "Configure",
        value: ".*",
        hint: `Declaring and deleting. ${EXPLAIN}`,
      },
      { name: "write", label: "Write", value: ".*", hint: `Publishing and binding to. ${EXPLAIN}` },
      { name: "read", label: "Read", value: ".*", hint: `Consuming and binding from. ${EXPLAIN}` },
    ],
    onSubmit: async ({ configure, write, read, ...given }) => {
      const { vhost, user } = { ...known, ...given };
      await put(path`/permissions/${vhost}/${user}`, { configure, write, read });
      await table.reload();
    },
  });
}

/** A form for topic permissions. */
export function topicForm(table, known, ...asked) {
  return createForm({
    submit: "Set topic permissions",
    done: () => "The topic permissions are set.",
    fields: [
      ...asked,
      { name: "exchange", label: "Topic exchange", value: "amq.topic", required: true },
      {
        name: "write",
        label: "Write",
        value: ".*",
        hint: "Routing keys that may be published with. {username}, {vhost} and {client_id} stand for those of the connection.",
      },
      { name: "read", label: "Read", value: ".*", hint: "Routing keys that may be bound with." },
    ],
    onSubmit: async ({ exchange, write, read, ...given }) => {
      const { vhost, user } = { ...known, ...given };
      await put(path`/topic-permissions/${vhost}/${user}`, { exchange, write, read });
      await table.reload();
    },
  });
}
