/* Owns the list of the settings that the broker runs with. */

import { get, put } from "../api.js";
import { freshId, h } from "../dom.js";
import { createForm, folded } from "../form.js";
import { given } from "../parts.js";
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
      { key: "value", label: "Value", cell: (row) => given(row.value) },
    ],
  });
  view.add(folded("Change a setting", changeForm(table)), table.element);
  await table.ready;
}

function changeForm(table) {
  const names = h("datalist", { id: freshId("settings") });
  const form = createForm({
    submit: "Change setting",
    done: ({ name }) => `${name} is changed until the broker ends.`,
    fields: [
      {
        name: "name",
        label: "Setting",
        required: true,
        list: names.id,
        hint: "One of those that can be changed while the broker runs: limits, alarms, levels of the log.",
      },
      {
        name: "value",
        label: "Value",
        hint: "As in the file of settings; left empty, the default. The file is not written: to keep the change, make it there too.",
      },
    ],
    onSubmit: async ({ name, value }) => {
      await put("/settings", { [name]: value || null });
      await table.reload();
    },
  });
  form.append(names);
  form.addEventListener(
    "focusin",
    async () => {
      const known = await get("/settings").catch(() => ({}));
      names.replaceChildren(...Object.keys(known).map((value) => h("option", { value })));
    },
    { once: true },
  );
  return form;
}
