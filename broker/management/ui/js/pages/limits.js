/* Owns limits of virtual hosts and of users. */

import { get, path, put, remove } from "../api.js";
import { attempt, confirmLoss } from "../dialog.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { createForm, folded } from "../form.js";
import { USER_LIMITS, VHOST_LIMITS } from "../known.js";
import { section, vhostField } from "../parts.js";
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
      field: () => vhostField(),
    },
    {
      address: "user-limits",
      of: "user",
      label: "User",
      options: USER_LIMITS,
      field: () => ({ name: "user", label: "User", required: true }),
    },
  ];
  await Promise.all(
    kinds.map((kind) => {
      const table = limitTable(view, kind);
      const words = `${kind.label.toLowerCase()}`;
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

function limitTable(view, { address, of, label }) {
  const table = createTable(view, {
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
      { key: "owner", label, sort: "owner", cell: (row) => row.owner },
      { key: "limit", label: "Limit", sort: "limit", cell: (row) => row.limit },
      {
        key: "value",
        label: "Value",
        numeric: true,
        sort: "value",
        cell: (row) => (row.value < 0 ? "any" : count(row.value)),
      },
      {
        key: "actions",
        label: "",
        numeric: true,
        cell: (row) =>
          h(
            "button",
            {
              type: "button",
              class: "danger",
              "aria-label": `Clear ${row.limit} of ${row.owner}`,
              onclick: () => clearing(table, address, row),
            },
            "Clear",
          ),
      },
    ],
  });
  return table;
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

async function clearing(table, address, { owner, limit }) {
  const sure = await confirmLoss({ action: "Clear", what: "limit", name: `${limit} of ${owner}` });
  if (
    sure &&
    (await attempt(() => remove(`/${address}${path`/${owner}/${limit}`}`), "The limit is gone."))
  )
    table.reload();
}
