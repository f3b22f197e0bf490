/* Owns limits of virtual hosts and of users. */

import { get, path, put } from "../api.js";
import { count } from "../format.js";
import { createForm, folded } from "../form.js";
import { USER_LIMITS, VHOST_LIMITS } from "../known.js";
import { section, userLink, vhostField, vhostLink } from "../parts.js";
import { removalColumn } from "../removal.js";
import { local } from "../sources.js";
import { createTable } from "../table.js";

export async function show(view) {
  view.heading("Limits", {
    hint: "A new connection, channel or queue above a limit is refused; what is open stays open. 0 allows none, a negative number any.",
  });
  const kinds = [
    {
      address: "vhost-limits",
      of: "vhost",
      label: "Virtual host",
      options: VHOST_LIMITS,
      owner: vhostLink,
      field: () => vhostField(),
    },
    {
      address: "user-limits",
      of: "user",
      label: "User",
      options: USER_LIMITS,
      owner: userLink,
      field: () => ({ name: "user", label: "User", required: true }),
    },
  ];
  await Promise.all(
    kinds.map((kind) => {
      const table = limitTable(view, kind);
      const words = kind.label.toLowerCase();
      view.add(
        section(
          `Limits of ${words}s`,
          table.element,
          folded(`Set a limit of a ${words}`, limitForm(table, kind)),
        ),
      );
      return table.ready;
    }),
  );
}

function limitTable(view, { address, of, label, owner }) {
  return createTable(view, {
    id: address,
    caption: `Limits of ${label.toLowerCase()}s`,
    noun: "limit",
    source: local(
      async (signal) =>
        (await get(`/${address}`, null, signal)).flatMap((each) =>
          Object.entries(each.value).map(([limit, value]) => ({ owner: each[of], limit, value })),
        ),
      (row) => row.owner,
    ),
    rowKey: (row) => `${row.owner}\n${row.limit}`,
    empty: `No ${label.toLowerCase()} has a limit.`,
    columns: [
      { key: "owner", label, sort: "owner", cell: (row) => owner(row.owner) },
      { key: "limit", label: "Limit", sort: "limit", cell: (row) => row.limit },
      {
        key: "value",
        label: "Value",
        numeric: true,
        sort: "value",
        cell: (row) => (row.value < 0 ? "any" : count(row.value)),
      },
      removalColumn({
        action: "Clear",
        what: "limit",
        label: (row) => `Clear ${row.limit} of ${row.owner}`,
        name: (row) => `${row.limit} of ${row.owner}`,
        done: () => "The limit is gone.",
        address: (row) => `/${address}${path`/${row.owner}/${row.limit}`}`,
      }),
    ],
  });
}

function limitForm(table, { address, of, options, field }) {
  return createForm({
    submit: "Set limit",
    done: () => "The limit is set.",
    fields: [
      field(),
      { name: "limit", label: "Limit", type: "select", options },
      { name: "value", label: "Value", type: "number", required: true },
    ],
    onSubmit: async (values) => {
      await put(`/${address}${path`/${values[of]}/${values.limit}`}`, { value: values.value });
      await table.reload();
    },
  });
}
