/* Owns policies and operator policies: lists, forms, deleting. */

import { ApiError, get, path, put } from "../api.js";
import { attempt, open } from "../dialog.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { createForm, folded } from "../form.js";
import { OPERATOR_KEYS, POLICY_KEYS } from "../known.js";
import { listInScope, section, table as pairs, vhostColumn, vhostField } from "../parts.js";
import { removalColumn } from "../removal.js";
import { session } from "../session.js";
import { local } from "../sources.js";
import { createTable } from "../table.js";

const KINDS = {
  policies: {
    title: "User policies",
    article: "a",
    noun: "policy",
    known: POLICY_KEYS,
    tag: "policymaker",
    hint: "Set arguments of all queues and exchanges whose names match. Of several that match, the one with the highest priority applies.",
    empty:
      "There are no policies. With one, a limit or a dead-letter exchange can be changed later without declaring queues anew.",
    targets: ["queues", "exchanges", "all", "classic_queues", "quorum_queues", "streams"],
  },
  "operator-policies": {
    title: "Operator policies",
    article: "an",
    noun: "operator policy",
    known: OPERATOR_KEYS,
    tag: "administrator",
    hint: "Limits that an application cannot raise: the lower of both values applies.",
    empty: "There are no operator policies.",
    targets: ["queues", "classic_queues", "quorum_queues", "streams"],
  },
};

export async function show(view) {
  view.heading("Policies");
  const parts = Object.entries(KINDS).map(([address, kind]) => {
    const table = policyTable(view, address, kind);
    view.add(
      section(
        kind.title,
        h("p", { class: "hint" }, kind.hint),
        table.element,
        session.may(kind.tag) &&
          folded(`Set ${kind.article} ${kind.noun}`, policyForm(address, kind, table)),
      ),
    );
    return table.ready;
  });
  await Promise.all(parts);
}

function policyTable(view, address, kind) {
  const { title, noun, empty, tag } = kind;
  return createTable(view, {
    id: address,
    caption: title,
    noun,
    source: local((signal) => listInScope(`/${address}`, signal)),
    rowKey: (row) => `${row.vhost}\n${row.name}`,
    empty,
    columns: [
      { key: "name", label: "Name", sort: "name", cell: (row) => row.name },
      ...vhostColumn(),
      {
        key: "pattern",
        label: "Pattern",
        sort: "pattern",
        cell: (row) => h("code", null, row.pattern),
      },
      {
        key: "target",
        label: "Applies to",
        sort: "apply-to",
        cell: (row) => row["apply-to"].replaceAll("_", " "),
      },
      { key: "definition", label: "Definition", cell: (row) => pairs(row.definition) },
      {
        key: "priority",
        label: "Priority",
        numeric: true,
        sort: "priority",
        cell: (row) => count(row.priority),
      },
      {
        key: "change",
        label: "",
        numeric: true,
        cell: (row, table) => session.may(tag) && changeButton(address, kind, table, row),
      },
      removalColumn({
        action: "Delete",
        what: noun,
        label: (row) => `Delete the ${noun} ${row.name}`,
        name: (row) => row.name,
        loses:
          "What it set no longer holds for the queues and exchanges it matches; another policy may take its place.",
        done: (row) => `The ${noun} “${row.name}” is deleted.`,
        address: (row) => `/${address}${path`/${row.vhost}/${row.name}`}`,
        when: () => session.may(tag),
      }),
    ],
  });
}

function changeButton(address, kind, table, { vhost, name }) {
  const title = `Change the ${kind.noun} “${name}”`;
  const change = async () => {
    // As it is now: the list may be older.
    const row = await get(`/${address}${path`/${vhost}/${name}`}`);
    const fill = (close) => policyForm(address, kind, table, { row, close });
    await open(title, fill, { wide: true });
  };
  return h(
    "button",
    { type: "button", "aria-label": title, onclick: () => attempt(change) },
    "Change",
  );
}

/** A form for a new policy, or in a dialog for the one of a `row`. */
function policyForm(address, { noun, known, targets }, table, { row, close } = {}) {
  const named = [
    vhostField(),
    {
      name: "name",
      label: "Name",
      required: true,
      hint: "An existing one of this name is replaced.",
    },
  ];
  return createForm({
    submit: `Set ${noun}`,
    cancel: close && (() => close()),
    done: ({ name }) => `The ${noun} “${name ?? row.name}” is set.`,
    fields: [
      ...(row ? [] : named),
      {
        name: "pattern",
        label: "Pattern",
        required: true,
        value: row?.pattern,
        hint: "A regular expression over names, such as ^orders\\.",
      },
      {
        name: "target",
        label: "Applies to",
        type: "select",
        value: row?.["apply-to"],
        options: targets.map((value) => ({ value, label: value.replaceAll("_", " ") })),
      },
      { name: "priority", label: "Priority", type: "number", value: row?.priority ?? 0 },
      {
        name: "definition",
        label: "Definition",
        type: "arguments",
        known,
        value: row?.definition,
      },
    ],
    onSubmit: async ({ pattern, target, priority, definition, ...given }) => {
      if (!Object.keys(definition).length)
        throw new ApiError(0, "The definition needs at least one entry.");
      const { vhost, name } = { ...row, ...given };
      await put(`/${address}${path`/${vhost}/${name}`}`, {
        pattern,
        definition,
        priority: priority ?? 0,
        "apply-to": target,
      });
      close?.();
      await table.reload();
    },
  });
}
