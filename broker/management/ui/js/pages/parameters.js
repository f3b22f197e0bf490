/* Owns runtime parameters: those of virtual hosts and those of the whole broker. */

import { ApiError, get, path, put } from "../api.js";
import { h } from "../dom.js";
import { createForm, folded } from "../form.js";
import { given, listInScope, section, vhostColumn, vhostField } from "../parts.js";
import { removalColumn } from "../removal.js";
import { local } from "../sources.js";
import { createTable } from "../table.js";

const KINDS = [
  {
    id: "parameters",
    title: "Of virtual hosts",
    noun: "parameter",
    hint: "Policies and limits have pages of their own. Shovels and federation upstreams are kept for RabbitMQ's definitions, but have no effect here.",
    empty: "No virtual host has a parameter.",
    load: (signal) => listInScope("/parameters", signal),
    key: (row) => `${row.component}\n${row.vhost}\n${row.name}`,
    address: ({ component, vhost, name }) => path`/parameters/${component}/${vhost}/${name}`,
    when: ({ component }) => component !== "operator_policy",
    columns: () => [
      {
        key: "component",
        label: "Component",
        sort: "component",
        cell: (row) => given(row.component),
      },
      ...vhostColumn(),
    ],
    fields: () => [
      vhostField(),
      {
        name: "component",
        label: "Component",
        required: true,
        hint: "shovel, federation-upstream, federation-upstream-set or vhost-limits.",
      },
    ],
  },
  {
    id: "global-parameters",
    title: "Of the whole broker",
    noun: "global parameter",
    hint: "Any value, for programs that keep one here.",
    empty: "There is no global parameter.",
    load: (signal) => get("/global-parameters", null, signal),
    key: (row) => row.name,
    address: ({ name }) => path`/global-parameters/${name}`,
    when: ({ name }) => name !== "internal_cluster_id",
    columns: () => [],
    fields: () => [],
  },
];

export async function show(view) {
  view.heading("Runtime parameters", {
    hint: "Values that are kept in the broker and are part of its definitions.",
  });
  await Promise.all(
    KINDS.map((kind) => {
      const table = parameterTable(view, kind);
      view.add(
        section(
          kind.title,
          h("p", { class: "hint" }, kind.hint),
          table.element,
          folded(`Set a ${kind.noun}`, parameterForm(table, kind)),
        ),
      );
      return table.ready;
    }),
  );
}

function parameterTable(view, { id, title, noun, empty, load, key, address, when, columns }) {
  return createTable(view, {
    id,
    caption: title,
    noun,
    source: local(load),
    rowKey: key,
    empty,
    columns: [
      { key: "name", label: "Name", sort: "name", cell: (row) => row.name },
      ...columns(),
      { key: "value", label: "Value", cell: (row) => h("code", null, JSON.stringify(row.value)) },
      removalColumn({
        action: "Clear",
        what: noun,
        label: (row) => `Clear the ${noun} ${row.name}`,
        name: (row) => row.name,
        done: (row) => `The ${noun} “${row.name}” is cleared.`,
        address,
        when,
      }),
    ],
  });
}

function parameterForm(table, { noun, address, fields }) {
  return createForm({
    submit: `Set ${noun}`,
    done: ({ name }) => `The ${noun} “${name}” is set.`,
    fields: [
      ...fields(),
      {
        name: "name",
        label: "Name",
        required: true,
        hint: "An existing one of this name is replaced.",
      },
      {
        name: "value",
        label: "Value",
        type: "area",
        required: true,
        hint: 'JSON: {"key": "value"}, a number, or a "text" in quotation marks.',
      },
    ],
    onSubmit: async ({ value, ...named }) => {
      const { vhost, component, name } = named;
      const body = { value: parsed(value), name, ...(component && { vhost, component }) };
      await put(address(named), body);
      await table.reload();
    },
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(0, "The value needs to be valid JSON; a text stands in quotation marks.");
  }
}
