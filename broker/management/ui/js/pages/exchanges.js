/* Owns the list of exchanges, and the form that adds one. */

import { path, put } from "../api.js";
import { h } from "../dom.js";
import { createForm, folded } from "../form.js";
import { EXCHANGE_ARGUMENTS } from "../known.js";
import { badge, exchangeLink, rateColumn, scoped, vhostColumn, vhostField } from "../parts.js";
import { session } from "../session.js";
import { remote } from "../sources.js";
import { createTable } from "../table.js";

const FIELDS = [
  "name",
  "vhost",
  "type",
  "durable",
  "auto_delete",
  "internal",
  "arguments",
  "policy",
  "message_stats",
];

export async function show(view) {
  view.heading("Exchanges");
  const table = createTable(view, {
    id: "exchanges",
    caption: "Exchanges",
    noun: "exchange",
    inAddress: true,
    source: remote(scoped("/exchanges"), FIELDS),
    rowKey: (row) => `${row.vhost}\n${row.name}`,
    empty: "There are no exchanges here that you may see.",
    columns: [
      {
        key: "name",
        label: "Name",
        sort: "name",
        cell: (row) => exchangeLink(row.vhost, row.name),
      },
      ...vhostColumn(),
      { key: "type", label: "Type", sort: "type", cell: (row) => row.type },
      { key: "features", label: "Features", cell: features },
      rateColumn("publish_in", "In", { narrow: true }),
      rateColumn("publish_out", "Out", { narrow: true }),
    ],
  });
  view.add(folded("Add an exchange", addForm(table)), table.element);
  await table.ready;
}

function features(row) {
  return h(
    "span",
    { class: "badges" },
    !row.durable && badge("Transient", "does not survive a restart"),
    row.auto_delete && badge("AD", "is deleted with its last binding"),
    row.internal && badge("Internal", "clients cannot publish to it"),
    row.arguments?.["alternate-exchange"] &&
      badge("AE", `alternate exchange “${row.arguments["alternate-exchange"]}”`),
    row.policy && badge(row.policy, `policy “${row.policy}”`, "policy"),
  );
}

function addForm(table) {
  const types = (session.overview?.exchange_types ?? []).filter((type) => !type.internal_purpose);
  return createForm({
    submit: "Add exchange",
    done: ({ name }) => `The exchange “${name}” is there.`,
    fields: [
      vhostField(),
      { name: "name", label: "Name", required: true },
      {
        name: "type",
        label: "Type",
        type: "select",
        value: "direct",
        options: types.map(({ name, description }) => ({
          value: name,
          label: description ? `${name}: ${description}` : name,
        })),
      },
      { name: "durable", label: "Durable: survives a restart", type: "checkbox", value: true },
      { name: "autoDelete", label: "Delete with the last binding", type: "checkbox" },
      { name: "internal", label: "Internal: only other exchanges route to it", type: "checkbox" },
      { name: "arguments", label: "Arguments", type: "arguments", known: EXCHANGE_ARGUMENTS },
    ],
    onSubmit: async ({ vhost, name, type, durable, autoDelete, internal, arguments: given }) => {
      await put(path`/exchanges/${vhost}/${name}`, {
        type,
        durable,
        auto_delete: autoDelete,
        internal,
        arguments: given,
      });
      await table.reload();
    },
  });
}
