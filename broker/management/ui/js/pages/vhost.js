/* Owns the page of one virtual host: what is in it, who may use it, deleting. */

import { get, path, put, remove } from "../api.js";
import { periodChoice, queuedChart, ratesChart } from "../charts.js";
import { attempt, confirmLoss } from "../dialog.js";
import { h, update } from "../dom.js";
import { plural } from "../format.js";
import { createForm, folded } from "../form.js";
import { facts, getNamed, section } from "../parts.js";
import { permissionForm, permissionTable, topicForm, topicTable } from "../permissions.js";
import { go } from "../router.js";
import { session } from "../session.js";
import { named, vhostFields } from "./vhosts.js";

export async function show(view, { name }) {
  const address = path`/vhosts/${name}`;
  const period = periodChoice(() => view.refresh());
  let vhost = null;
  view.heading(name, {
    kind: "Virtual host",
    actions: [
      period.element,
      h(
        "button",
        { type: "button", class: "danger", onclick: () => deleting(name, address, vhost) },
        "Delete virtual host",
      ),
    ],
  });
  const queued = queuedChart();
  const moving = ratesChart();
  const details = h("dl", { class: "facts" });
  view.add(h("div", { class: "charts" }, queued.element, moving.element), details);
  await view.poll(async (signal) => {
    vhost = await getNamed(address, "virtual host", period.query(), signal);
    queued.show(vhost);
    moving.show(vhost.message_stats ?? {});
    update(
      details,
      facts([
        ["Description", vhost.description],
        [
          "Tags",
          (Array.isArray(vhost.tags) ? vhost.tags : [vhost.tags]).filter(Boolean).join(", "),
        ],
        ["Default queue type", named(vhost.default_queue_type)],
        ["Tracing", vhost.tracing ? "on" : "off"],
        ["Deletion", vhost.protected_from_deletion ? "protected from it" : "possible"],
      ]),
    );
  });
  if (!vhost) return;
  const permissions = permissionTable(view, {
    load: (signal) => get(`${address}/permissions`, null, signal),
    of: "user",
  });
  const topics = topicTable(view, {
    load: (signal) => get(`${address}/topic-permissions`, null, signal),
    of: "user",
  });
  const user = { name: "user", label: "User", required: true };
  view.add(
    section(
      "Permissions",
      permissions.element,
      folded("Set permissions", permissionForm(permissions, { vhost: name }, user)),
    ),
    section(
      "Topic permissions",
      topics.element,
      folded("Set topic permissions", topicForm(topics, { vhost: name }, user)),
    ),
    folded(
      "Change description, default queue type, tracing or protection",
      changeForm(view, address, vhost),
    ),
  );
}

function changeForm(view, address, vhost) {
  return createForm({
    submit: "Change virtual host",
    keep: true,
    done: () => "Changed.",
    fields: [
      ...vhostFields(vhost),
      {
        name: "tracing",
        label: "Tracing: copy every message to amq.rabbitmq.trace",
        type: "checkbox",
        value: vhost.tracing,
      },
    ],
    onSubmit: async ({ description, tags, type, tracing, isProtected }) => {
      await put(address, {
        description,
        tags,
        tracing,
        default_queue_type: type,
        protected_from_deletion: isProtected,
      });
      await view.refresh();
    },
  });
}

async function deleting(name, address, vhost) {
  const sure = await confirmLoss({
    action: "Delete",
    what: "virtual host",
    name,
    typed: true,
    loses: `Everything in it goes: its exchanges and queues with ${plural(vhost?.messages ?? 0, "message")}, policies and permissions. Its connections are closed.`,
  });
  if (!sure || !(await attempt(() => remove(address), `The virtual host “${name}” is deleted.`)))
    return;
  await session.loadVhosts();
  document.dispatchEvent(new Event("vhosts"));
  go("/vhosts");
}
