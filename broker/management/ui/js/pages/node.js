/* Owns the page of the node: what it is, what it uses, and what it listens on. */

import { path } from "../api.js";
import { periodChoice } from "../charts.js";
import { h, update } from "../dom.js";
import { duration } from "../format.js";
import { facts, getNamed, section } from "../parts.js";
import { nodeMeters, nodeCharts } from "../resources.js";

export async function show(view, { name }) {
  const period = periodChoice(() => view.refresh());
  view.heading(name, { kind: "Node", actions: [period.element] });
  const meters = h("div");
  const details = h("dl", { class: "facts" });
  const plugins = h("ul", { class: "pairs columns-list" });
  const charts = nodeCharts();
  view.add(meters, charts.element, details, section("Exchange types", plugins));
  await view.poll(async (signal) => {
    const node = await getNamed(path`/nodes/${name}`, "node", period.query(), signal);
    charts.show(node);
    update(meters, nodeMeters(node));
    update(
      details,
      facts([
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
        ["Plugins", (node.enabled_plugins ?? []).join(", ")],
      ]),
    );
    update(
      plugins,
      (node.exchange_types ?? []).map((type) =>
        h("li", null, h("b", null, type.name), " ", type.description ?? ""),
      ),
    );
  });
}
