/* Owns the list of users, and the form that adds one. */

import { get, path, put } from "../api.js";
import { h } from "../dom.js";
import { createForm, folded } from "../form.js";
import { USER_TAGS } from "../known.js";
import { given, userLink } from "../parts.js";
import { local } from "../sources.js";
import { createTable } from "../table.js";

export async function show(view) {
  view.heading("Users", {
    hint: "Who may log in over AMQP and to this page. A tag says what of the management a user sees; permissions say what a user may do in a virtual host.",
  });
  const table = createTable(view, {
    id: "users",
    caption: "Users",
    noun: "user",
    inAddress: true,
    sort: "name",
    source: local(load),
    rowKey: (row) => row.name,
    empty: "There are no users: nobody can log in.",
    columns: [
      { key: "name", label: "Name", sort: "name", cell: (row) => userLink(row.name) },
      {
        key: "tags",
        label: "Tags",
        cell: (row) =>
          tagsOf(row).length
            ? given(tagsOf(row).join(", "))
            : h("span", { class: "quiet-text" }, "none"),
      },
      {
        key: "vhosts",
        label: "Virtual hosts",
        cell: (row) =>
          row.vhosts.length ? given(row.vhosts.join(", ")) : h("b", null, "none: cannot use AMQP"),
      },
      { key: "password", label: "Password", cell: (row) => (row.password_hash ? "set" : "none") },
    ],
  });
  view.add(folded("Add a user", addForm(table)), table.element);
  await table.ready;
}

/** Tags come as a list or, from older brokers, as one text. */
export function tagsOf({ tags }) {
  return (Array.isArray(tags) ? tags : String(tags ?? "").split(",")).filter(Boolean);
}

async function load(signal) {
  const [users, permissions] = await Promise.all([
    get("/users", null, signal),
    get("/permissions", null, signal),
  ]);
  return users.map((user) => ({
    ...user,
    vhosts: permissions
      .filter((permission) => permission.user === user.name)
      .map(({ vhost }) => vhost),
  }));
}

function addForm(table) {
  return createForm({
    submit: "Add user",
    done: ({ name }) => `The user “${name}” is there. Give it permissions on its page.`,
    fields: [
      { name: "name", label: "Name", required: true, autocomplete: "off" },
      {
        name: "password",
        label: "Password",
        type: "password",
        hint: "Left empty, the user has none and cannot log in with one.",
      },
      { name: "again", label: "Password again", type: "password" },
      { name: "tag", label: "Tag", type: "select", options: USER_TAGS },
      { name: "tags", label: "Other tags", hint: "Separated by commas." },
    ],
    onSubmit: async ({ name, password, again, tag, tags }) => {
      if (password !== again) throw new Error("The two passwords differ.");
      await put(path`/users/${name}`, {
        tags: [tag, ...tags.split(",")]
          .map((each) => each.trim())
          .filter(Boolean)
          .join(","),
        ...(password ? { password } : { password_hash: "" }),
      });
      await table.reload();
    },
  });
}
