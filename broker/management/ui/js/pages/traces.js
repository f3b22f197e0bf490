/* Owns traces: messages of a virtual host that are written to files while a trace runs. */

import { get, getText, path, put } from "../api.js";
import { attempt } from "../dialog.js";
import { h } from "../dom.js";
import { bytes } from "../format.js";
import { createForm, folded } from "../form.js";
import { download, listInScope, section, vhostColumn, vhostField } from "../parts.js";
import { removalColumn } from "../removal.js";
import { local } from "../sources.js";
import { createTable } from "../table.js";

export async function show(view) {
  view.heading("Traces", {
    hint: "A trace writes what is published to a virtual host and delivered from it to a file, to see what a client really sends. It costs; stop it when you have seen it.",
  });
  const traces = traceTable(view);
  const files = fileTable(view);
  view.add(
    section("Running", traces.element, folded("Start a trace", startForm(traces))),
    section("Files", files.element),
  );
  await Promise.all([traces.ready, files.ready]);
}

function traceTable(view) {
  return createTable(view, {
    id: "traces",
    caption: "Running traces",
    noun: "trace",
    source: local((signal) => listInScope("/traces", signal)),
    rowKey: (row) => `${row.vhost}\n${row.name}`,
    empty: "No trace is running.",
    columns: [
      { key: "name", label: "Name", sort: "name", cell: (row) => row.name },
      ...vhostColumn(),
      { key: "pattern", label: "Pattern", cell: (row) => h("code", null, row.pattern) },
      { key: "format", label: "Format", cell: (row) => row.format },
      {
        key: "payload",
        label: "Of each payload",
        cell: (row) => (row.max_payload_bytes === undefined ? "all" : bytes(row.max_payload_bytes)),
      },
      removalColumn({
        action: "Stop",
        what: "trace",
        label: (row) => `Stop the trace ${row.name}`,
        name: (row) => row.name,
        loses: "Its file stays.",
        done: (row) => `The trace “${row.name}” is stopped.`,
        address: (row) => path`/traces/${row.vhost}/${row.name}`,
      }),
    ],
  });
}

function startForm(table) {
  return createForm({
    submit: "Start trace",
    done: ({ name }) => `The trace “${name}” is running.`,
    fields: [
      vhostField(),
      { name: "name", label: "Name", required: true, hint: "Its file has this name and .log." },
      {
        name: "pattern",
        label: "Pattern",
        value: "#",
        required: true,
        hint: "# is everything, publish.# what is published, publish.orders what is published to the exchange orders, deliver.mail what is delivered from the queue mail.",
      },
      {
        name: "format",
        label: "Format",
        type: "select",
        options: [
          { value: "text", label: "text, for people" },
          { value: "json", label: "JSON, a line for each message" },
        ],
      },
      {
        name: "payload",
        label: "Most bytes of each payload",
        type: "number",
        hint: "Left empty, all of it.",
      },
    ],
    onSubmit: async ({ vhost, name, pattern, format, payload }) => {
      await put(path`/traces/${vhost}/${name}`, {
        pattern,
        format,
        ...(payload !== null && { max_payload_bytes: payload }),
      });
      await table.reload();
    },
  });
}

function fileTable(view) {
  const save = async ({ name }) =>
    download(name, await getText(path`/trace-files/${name}`), "text/plain");
  return createTable(view, {
    id: "trace-files",
    caption: "Files of traces",
    noun: "file",
    source: local((signal) => get("/trace-files", null, signal)),
    rowKey: (row) => row.name,
    empty: "No trace has written a file.",
    columns: [
      { key: "name", label: "Name", sort: "name", cell: (row) => row.name },
      {
        key: "size",
        label: "Size",
        numeric: true,
        sort: "size",
        cell: (row) => bytes(row.size),
      },
      {
        key: "save",
        label: "",
        numeric: true,
        cell: (row) =>
          h(
            "button",
            {
              type: "button",
              "aria-label": `Download ${row.name}`,
              onclick: () => attempt(() => save(row)),
            },
            "Download",
          ),
      },
      removalColumn({
        action: "Delete",
        what: "file",
        label: (row) => `Delete ${row.name}`,
        name: (row) => row.name,
        loses: "What was traced is gone for good.",
        done: (row) => `The file “${row.name}” is deleted.`,
        address: (row) => path`/trace-files/${row.name}`,
      }),
    ],
  });
}
