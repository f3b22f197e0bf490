/* Owns the list of the settings that the broker runs with. */

import { get } from "../api.js";
import { h } from "../dom.js";
import { local } from "../sources.js";
import { createTable } from "../table.js";

export async function show(view) {
  view.heading("Settings", {
    hint: "What the broker runs with, from its files, its environment and its command line, or by default. Passwords are not shown.",
  });
  const table = createTable(view, {
    id: "settings",
    caption: "Settings",
    noun: "setting",
    inAddress: true,
    sort: "name",
    source: local(async (signal) =>
      Object.entries(await get("/settings", null, signal)).map(([name, value]) => ({
        name,
        value,
      })),
    ),
    rowKey: (row) => row.name,
    empty: "There are no settings.",
    columns: [
      { key: "name", label: "Name", sort: "name", cell: (row) => h("code", null, row.name) },
      { key: "value", label: "Value", cell: (row) => row.value },
    ],
  });
  view.add(table.element);
  await table.ready;
}
