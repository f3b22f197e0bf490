/* Owns how it is shown what a node has left: memory, disk, file descriptors, sockets. */

import { levelChart } from "./charts.js";
import { h } from "./dom.js";
import { bytes, count } from "./format.js";
import { meter } from "./parts.js";

/** How much of each limit is used, as bars. */
export function nodeMeters(node) {
  const used = (label, now, limit, format) =>
    meter(now, limit, `${format(now)} of ${format(limit)}`, label);
  return h(
    "div",
    { class: "meters" },
    used("Memory", node.mem_used, node.mem_limit, bytes),
    meter(
      node.disk_free_limit,
      node.disk_free,
      `${bytes(node.disk_free)} free (alarm: ${bytes(node.disk_free_limit)})`,
      "Disk",
    ),
    used("File descriptors", node.fd_used, node.fd_total, count),
    used("Sockets", node.sockets_used, node.sockets_total, count),
  );
}

/** The same over time; gives {element, show(node)}. */
export function nodeCharts() {
  const memory = levelChart("Memory", "mem_used", "Used", bytes);
  const disk = levelChart("Disk space", "disk_free", "Free", bytes, 2);
  const files = levelChart("File descriptors", "fd_used", "Open", count, 4);
  const sockets = levelChart("Sockets", "sockets_used", "Open", count, 5);
  const charts = [memory, disk, files, sockets];
  return {
    element: h(
      "div",
      { class: "charts small" },
      charts.map(({ element }) => element),
    ),
    show(node) {
      memory.show(node, near(node.mem_used, node.mem_limit, "alarm above"));
      disk.show(node, near(node.disk_free, node.disk_free_limit, "alarm below"));
      files.show(node, near(node.fd_used, node.fd_total, "limit"));
      sockets.show(node, near(node.sockets_used, node.sockets_total, "limit"));
    },
  };
}

/** A limit far above the line would press it flat; one far below says nothing. */
function near(now, limit, label) {
  return limit > now / 10 && limit < now * 4 ? { value: limit, label } : null;
}
