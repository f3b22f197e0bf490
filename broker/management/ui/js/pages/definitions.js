/* Owns taking definitions out of the broker and putting them in. */

import { ApiError, get, path, post } from "../api.js";
import { confirmLoss } from "../dialog.js";
import { h } from "../dom.js";
import { createForm } from "../form.js";
import { plural } from "../format.js";
import { download, section } from "../parts.js";
import { session } from "../session.js";

const COUNTED = {
  users: "user",
  vhosts: "virtual host",
  permissions: "permission",
  topic_permissions: "topic permission",
  policies: "policy",
  exchanges: "exchange",
  queues: "queue",
  bindings: "binding",
  parameters: "parameter",
  global_parameters: "global parameter",
};

export async function show(view) {
  view.heading("Definitions", {
    hint: "Users, virtual hosts, permissions, policies, exchanges, queues and bindings as one JSON file, in RabbitMQ's format. Messages are not part of it.",
  });
  const scope = {
    name: "vhost",
    label: "Of",
    type: "select",
    options: [
      { value: "", label: "the whole broker" },
      ...session.vhosts.map((name) => ({ value: `=${name}`, label: `the virtual host ${name}` })),
    ],
  };
  const address = (value) => (value ? path`/definitions/${value.slice(1)}` : "/definitions");
  view.add(
    section(
      "Download",
      createForm({
        submit: "Download definitions",
        keep: true,
        fields: [
          scope,
          { name: "file", label: "File name", value: "definitions.json", required: true },
        ],
        onSubmit: async ({ vhost, file }) =>
          download(file, JSON.stringify(await get(address(vhost)), null, 2)),
      }),
      h(
        "p",
        { class: "hint" },
        "The file of the whole broker has the hashes of passwords in it: keep it as you keep passwords.",
      ),
    ),
    section(
      "Upload",
      createForm({
        submit: "Upload definitions…",
        fields: [
          { ...scope, label: "Into" },
          {
            name: "file",
            label: "File",
            type: "file",
            accept: "application/json,.json",
            required: true,
          },
        ],
        onSubmit: async ({ vhost, file }) => {
          const definitions = await read(file);
          const found = summary(definitions);
          if (!found) throw new ApiError(0, "There are no definitions in this file.");
          const sure = await confirmLoss({
            action: "Upload",
            what: "definitions",
            name: file.name,
            loses: `It has ${found}. Users, policies, permissions and limits of the same name are replaced; exchanges and queues that exist stay as they are.`,
          });
          if (!sure) throw new ApiError(0, "Nothing was uploaded.");
          await post(address(vhost), definitions);
          await session.loadVhosts();
          document.dispatchEvent(new Event("vhosts"));
        },
        done: () => "The definitions are in place.",
      }),
    ),
  );
}

async function read(file) {
  try {
    return JSON.parse(await file.text());
  } catch {
    throw new ApiError(0, `“${file.name}” is not valid JSON.`);
  }
}

function summary(definitions) {
  return Object.entries(COUNTED)
    .filter(([key]) => definitions?.[key]?.length)
    .map(([key, noun]) => plural(definitions[key].length, noun))
    .join(", ");
}
