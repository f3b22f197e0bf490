/* Owns the page of the node: what it is, what it uses, and what it listens on. */

import { get, path, post } from "../api.js";
import { periodChoice } from "../charts.js";
import { attempt, confirmLoss } from "../dialog.js";
import { h, update } from "../dom.js";
import { duration } from "../format.js";
import { facts, getNamed, section } from "../parts.js";
import { nodeCharts, nodeMeters } from "../resources.js";
import { session } from "../session.js";

export async function show(view, { name }) {
  const period = periodChoice(() => view.refresh());
  const upkeep = h("button", { type: "button", hidden: true });
  view.heading(name, { kind: "Node", actions: [period.element, upkeep] });
  const meters = h("div");
  const details = h("dl", { class: "facts" });
  const types = h("ul", { class: "pairs columns-list" });
  const plugins = h("ul", { class: "pairs columns-list" });
  const charts = nodeCharts();
  const certificates = h("ul", { class: "pairs" });
  view.add(
    meters,
    charts.element,
    details,
    section("Certificates", certificates),
    section("Exchange types", types),
    section("Plugins of RabbitMQ whose features are built in", plugins),
  );
  await view.poll(async (signal) => {
    const node = await getNamed(path`/nodes/${name}`, "node", period.query(), signal);
    charts.show(node);
    update(meters, nodeMeters(node));
    upkeep.hidden = !session.may("administrator");
    upkeep.onclick = () => (node.being_drained ? reviving(view, name) : draining(view, name));
    update(upkeep, node.being_drained ? "Serve clients again" : "Turn clients away…");
    update(certificates, inUse(await get("/certificates", null, signal)));
    update(
      details,
      facts([
        ["Maintenance", node.being_drained && h("b", null, "clients are turned away")],
        ["Up for", duration(node.uptime)],
        ["Process id", node.os_pid],
        ["Processors", node.processors],
        ["Type", node.type],
        ["Data directory", node.db_dir],
        ["Log", (node.log_files ?? []).join(", ")],
        ["Settings from", (node.config_files ?? []).join(", ")],
        [
          "Login mechanisms",
          (node.auth_mechanisms ?? [])
            .filter(({ enabled }) => enabled)
            .map((each) => each.name)
            .join(", "),
        ],
      ]),
    );
    update(
      plugins,
      (node.enabled_plugins ?? []).map((plugin) => h("li", null, h("b", null, plugin))),
    );
    update(
      types,
      (node.exchange_types ?? []).map((type) =>
        h("li", null, h("b", null, type.name), " ", type.description ?? ""),
      ),
    );
  });
}

async function draining(view, name) {
  const sure = await confirmLoss({
    action: "Turn away",
    what: "clients",
    name,
    loses:
      "For maintenance: all connections over AMQP are closed and no new ones are let in, until clients are served again here. Messages stay.",
  });
  const drain = () => post(path`/nodes/${name}/maintenance/drain`);
  if (sure && (await attempt(drain, "Clients are turned away."))) view.refresh();
}

async function reviving(view, name) {
  const revive = () => post(path`/nodes/${name}/maintenance/revive`);
  if (await attempt(revive, "Clients are served again.")) view.refresh();
}

function inUse(places) {
  const shown = places.flatMap(({ protocol, port, files }) =>
    files.flatMap(({ path: file, certificates }) =>
      certificates.map(({ subject, not_after: until }) =>
        h(
          "li",
          null,
          h("b", null, `${protocol} ${port}`),
          ` ${subject}, until ${until}, in ${file}`,
        ),
      ),
    ),
  );
  return shown.length ? shown : h("li", { class: "hint" }, "Nothing listens with TLS.");
}
