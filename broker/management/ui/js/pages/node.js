/* Owns the page of the node: what it is, what it uses, and what it listens on. */

import { path } from "../api.js";
import { levelChart, periodChoice } from "../charts.js";
import { h, update } from "../dom.js";
import { bytes, count, duration } from "../format.js";
import { facts, getNamed, meter, section } from "../parts.js";

export async function show(view, { name }) {
  const period = periodChoice(() => view.refresh());
  view.heading(name, { kind: "Node", actions: [period.element] });
  const meters = h("div", { class: "node-meters" });
  const details = h("dl", { class: "facts" });
  const plugins = h("ul", { class: "pairs columns-list" });
  const charts = [
    [levelChart("Memory", "mem_used", "Used", bytes)],
    [levelChart("Disk space", "disk_free", "Free", bytes, 2)],
    [levelChart("File descriptors", "fd_used", "Open", count, 4)],
    [levelChart("Sockets", "sockets_used", "Open", count, 5)],
  ].flat();
  view.add(
    meters,
    h(
      "div",
      { class: "charts" },
      charts.map(({ element }) => element),
    ),
    details,
    section("Exchange types", plugins),
  );
  await view.poll(async (signal) => {
    const node = await getNamed(path`/nodes/${name}`, "node", period.query(), signal);
    charts.forEach((chart) => chart.show(node));
    update(
      meters,
      meter(
        node.mem_used,
        node.mem_limit,
        `${bytes(node.mem_used)} of ${bytes(node.mem_limit)}`,
        "Memory",
      ),
      meter(
        node.disk_free_limit,
        node.disk_free,
        `${bytes(node.disk_free)} free, alarm below ${bytes(node.disk_free_limit)}`,
        "Disk",
      ),
      meter(
        node.fd_used,
        node.fd_total,
        `${count(node.fd_used)} of ${count(node.fd_total)}`,
        "File descriptors",
      ),
      meter(
        node.sockets_used,
        node.sockets_total,
        `${count(node.sockets_used)} of ${count(node.sockets_total)}`,
        "Sockets",
      ),
    );
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
