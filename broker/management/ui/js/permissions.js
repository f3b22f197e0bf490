/* Owns lists and forms of permissions, for the pages of users and of virtual hosts. */

import { path, put, remove } from "./api.js";
import { attempt, confirmLoss } from "./dialog.js";
import { h } from "./dom.js";
import { createForm } from "./form.js";
import { userLink } from "./parts.js";
import { link } from "./router.js";
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
        cell: (row) => h("a", { class: "name", href: link`/vhosts/${row.vhost}` }, row.vhost),
      }
    : { key: "user", label: "User", sort: "user", cell: (row) => userLink(row.user) };
}

function removal(table, what, address) {
  return {
    key: "actions",
    label: "",
    numeric: true,
    cell: (row) =>
      h(
        "button",
        {
          type: "button",
          class: "danger",
          "aria-label": `Clear ${what} of ${row.user} in ${row.vhost}`,
          onclick: async () => {
            const sure = await confirmLoss({
              action: "Clear",
              what,
              name: `${row.user} in ${row.vhost}`,
              loses: "What the user is doing now is refused from its next command on.",
            });
            if (sure && (await attempt(() => remove(address(row)), "Cleared."))) table().refresh();
          },
        },
        "Clear",
      ),
  };
}

/** Lists permissions; `of` is the side to show, "vhost" or "user". */
export function permissionTable(view, { load, of }) {
  const table = createTable(view, {
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
      removal(
        () => table,
        "permissions",
        (row) => path`/permissions/${row.vhost}/${row.user}`,
      ),
    ],
  });
  return table;
}

/** Lists topic permissions in the same way. */
export function topicTable(view, { load, of }) {
  const table = createTable(view, {
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
        cell: (row) => row.exchange || "(all topic exchanges)",
      },
      patternColumn("write", "Write"),
      patternColumn("read", "Read"),
      removal(
        () => table,
        "topic permissions",
        (row) => path`/topic-permissions/${row.vhost}/${row.user}/${row.exchange}`,
      ),
    ],
  });
  return table;
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
