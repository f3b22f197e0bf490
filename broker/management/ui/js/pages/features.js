/* Owns the lists of feature flags and of deprecated features. */

import { get, path, put } from "../api.js";
import { attempt } from "../dialog.js";
import { h } from "../dom.js";
import { section, state } from "../parts.js";
import { local } from "../sources.js";
import { createTable } from "../table.js";

export async function show(view) {
  view.heading("Features", {
    hint: "What clients and tools written for RabbitMQ can count on, under RabbitMQ's names.",
  });
  const flags = featureTable(view, {
    id: "feature-flags",
    caption: "Feature flags",
    noun: "feature flag",
    empty: "There are no feature flags.",
    columns: [
      {
        key: "state",
        label: "State",
        sort: "state",
        cell: (row) => state(row.state, { enabled: "good" }),
      },
      { key: "stability", label: "Stability", sort: "stability", cell: (row) => row.stability },
      {
        key: "actions",
        label: "",
        numeric: true,
        cell: (row, table) => row.state === "disabled" && enabling(row, table),
      },
    ],
  });
  const deprecated = featureTable(view, {
    id: "deprecated-features",
    caption: "Deprecated features",
    noun: "deprecated feature",
    empty:
      "None: transient queues, global prefetch and whatever else newer versions of RabbitMQ take away stay available here.",
    columns: [
      { key: "phase", label: "Phase", cell: (row) => row.deprecation_phase },
      { key: "description", label: "What it is", cell: (row) => row.desc },
    ],
  });
  view.add(
    section("Feature flags", flags.element),
    section("Deprecated features", deprecated.element),
  );
  await Promise.all([flags.ready, deprecated.ready]);
}

function featureTable(view, { id, columns, ...options }) {
  return createTable(view, {
    id,
    ...options,
    source: local((signal) => get(`/${id}`, null, signal)),
    rowKey: (row) => row.name,
    columns: [
      { key: "name", label: "Name", sort: "name", cell: (row) => h("code", null, row.name) },
      ...columns,
    ],
  });
}

function enabling({ name }, table) {
  const enable = async () => {
    if (await attempt(() => put(path`/feature-flags/${name}/enable`), `“${name}” is enabled.`))
      table.reload();
  };
  return h("button", { type: "button", "aria-label": `Enable ${name}`, onclick: enable }, "Enable");
}
