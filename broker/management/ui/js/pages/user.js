/* Owns the page of one user: permissions, topic permissions, limits, password and tags, deleting. */

import { get, path, put, remove } from "../api.js";
import { attempt, confirmLoss } from "../dialog.js";
import { h, update } from "../dom.js";
import { createForm, folded } from "../form.js";
import { USER_TAGS } from "../known.js";
import { facts, getNamed, section, table as pairs, vhostField } from "../parts.js";
import { permissionForm, permissionTable, topicForm, topicTable } from "../permissions.js";
import { go } from "../router.js";
import { session } from "../session.js";
import { tagsOf } from "./users.js";

export async function show(view, { name }) {
  const address = path`/users/${name}`;
  view.heading(name, {
    kind: "User",
    actions: [
      h(
        "button",
        { type: "button", class: "danger", onclick: () => deleting(name, address) },
        "Delete user",
      ),
    ],
  });
  const details = h("dl", { class: "facts" });
  view.add(details);
  let user = null;
  await view.poll(async (signal) => {
    user = await getNamed(address, "user", null, signal);
    update(
      details,
      facts([
        ["Tags", tagsOf(user).join(", ") || "none: no management access"],
        ["Password", user.password_hash ? "set" : "none: cannot log in with one"],
        ["Limits", pairs(user.limits) ?? "none"],
      ]),
    );
  });
  if (!user) return;
  const permissions = permissionTable(view, {
    load: (signal) => get(`${address}/permissions`, null, signal),
    of: "vhost",
  });
  const topics = topicTable(view, {
    load: (signal) => get(`${address}/topic-permissions`, null, signal),
    of: "vhost",
  });
  view.add(
    section(
      "Permissions",
      permissions.element,
      folded("Set permissions", permissionForm(permissions, { user: name }, vhostField())),
    ),
    section(
      "Topic permissions",
      topics.element,
      folded("Set topic permissions", topicForm(topics, { user: name }, vhostField())),
    ),
    folded("Change password or tags", changeForm(view, address, user)),
  );
}

function changeForm(view, address, user) {
  const tags = tagsOf(user);
  const known = tags.find((tag) => USER_TAGS.some(({ value }) => value === tag)) ?? "";
  return createForm({
    submit: "Change user",
    keep: true,
    done: () => "Changed.",
    fields: [
      {
        name: "password",
        label: "New password",
        type: "password",
        hint: "Left empty, the password stays as it is.",
      },
      { name: "again", label: "New password again", type: "password" },
      { name: "tag", label: "Tag", type: "select", options: USER_TAGS, value: known },
      {
        name: "tags",
        label: "Other tags",
        value: tags.filter((tag) => tag !== known).join(", "),
        hint: "Separated by commas.",
      },
    ],
    onSubmit: async ({ password, again, tag, tags: others }) => {
      if (password !== again) throw new Error("The two passwords differ.");
      const secret = password
        ? { password }
        : { password_hash: user.password_hash, hashing_algorithm: user.hashing_algorithm };
      await put(address, {
        tags: [tag, ...others.split(",")]
          .map((each) => each.trim())
          .filter(Boolean)
          .join(","),
        ...secret,
      });
      await view.refresh();
    },
  });
}

async function deleting(name, address) {
  const sure = await confirmLoss({
    action: "Delete",
    what: "user",
    name,
    loses:
      name === session.user
        ? "This is you: you will be logged out."
        : "Its permissions go with it, and its connections are closed.",
  });
  if (sure && (await attempt(() => remove(address), `The user “${name}” is deleted.`)))
    go("/users");
}
