/* Owns lists of bindings and the forms that add one, for the pages of exchanges and queues. */

import { exchangeSegment, path, post } from "./api.js";
import { h } from "./dom.js";
import { createForm } from "./form.js";
import { exchangeLink, queueLink, table as argumentTable } from "./parts.js";
import { removalColumn } from "./removal.js";
import { local } from "./sources.js";
import { createTable } from "./table.js";

/** Lists bindings; `other` is the end to show, "source" or "destination". */
export function bindingsTable(view, { vhost, load, other, empty }) {
  return createTable(view, {
    id: `bindings-${other}`,
    caption: other === "source" ? "Bindings to it" : "Bindings from it",
    noun: "binding",
    source: local(load, (row) => `${row[other]} ${row.routing_key}`),
    rowKey: (row) =>
      [row.source, row.destination_type, row.destination, row.properties_key].join("\n"),
    empty,
    columns: [
      {
        key: "end",
        label: other === "source" ? "From exchange" : "To",
        sort: other,
        cell: (row) => end(vhost, row, other),
      },
      {
        key: "key",
        label: "Routing key",
        sort: "routing_key",
        cell: (row) => h("code", null, row.routing_key || "(empty)"),
      },
      { key: "arguments", label: "Arguments", cell: (row) => argumentTable(row.arguments) ?? "" },
      removalColumn({
        action: "Unbind",
        what: "binding",
        label: (row) => `Unbind ${row.routing_key || "(empty key)"} from ${row[other]}`,
        name: (row) => `${row.source} → ${row.destination}, key “${row.routing_key}”`,
        loses: "Messages with this key no longer take this way.",
        done: () => "The binding is gone.",
        address: (row) => between(vhost, row) + path`/${row.properties_key}`,
        when: (row) => row.source !== "",
      }),
    ],
  });
}

function end(vhost, row, other) {
  if (other === "source") return exchangeLink(vhost, row.source);
  return row.destination_type === "queue"
    ? queueLink(vhost, row.destination)
    : h("span", null, exchangeLink(vhost, row.destination), h("small", null, " exchange"));
}

function between(vhost, { source, destination, destination_type: type }) {
  const letter = type === "queue" ? "q" : "e";
  return path`/bindings/${vhost}/e/${exchangeSegment(source)}/${letter}/${destination}`;
}

/** A form that binds; one end is given, `source` or `queue`, the other is asked for. */
export function bindForm(table, { vhost, source, queue }) {
  const ends =
    source === undefined
      ? [{ name: "source", label: "From exchange", required: true }]
      : [
          {
            name: "destination_type",
            label: "Bind a",
            type: "select",
            options: ["queue", "exchange"],
          },
          { name: "destination", label: "Its name", required: true },
        ];
  return createForm({
    submit: "Bind",
    done: () => "The binding is there.",
    fields: [
      ...ends,
      {
        name: "routing_key",
        label: "Routing key",
        hint: "In a topic exchange * stands for one word and # for any number of words.",
      },
      {
        name: "arguments",
        label: "Arguments",
        type: "arguments",
        hint: "A headers exchange compares these with the headers of messages.",
        known: [
          {
            key: "x-match",
            type: "text",
            options: ["all", "any", "all-with-x", "any-with-x"],
            help: "Whether all of the headers must be equal or any of them.",
          },
        ],
      },
    ],
    onSubmit: async ({ routing_key: key, arguments: given, ...other }) => {
      const binding = { source, destination: queue, destination_type: "queue", ...other };
      await post(between(vhost, binding), { routing_key: key, arguments: given });
      await table.reload();
    },
  });
}
