/* Owns the overview: is anything wrong, what goes through, what waits, and what the node has left. */

import { get } from "../api.js";
import { churnChart, openChart, periodChoice, queuedChart, ratesChart } from "../charts.js";
import { h, update } from "../dom.js";
import { bytes, compact, count, duration, rate } from "../format.js";
import { nameLink, queueLink, rateCell, scoped, section } from "../parts.js";
import { nodeCharts, nodeMeters } from "../resources.js";
import { link } from "../router.js";
import { preference, session } from "../session.js";
import { remote } from "../sources.js";
import { createTable } from "../table.js";

export async function show(view) {
  const period = periodChoice(() => view.refresh());
  view.heading("Overview", { actions: [period.element] });
  const alarms = h("div");
  const figures = h("dl", { class: "figures" });
  const queued = queuedChart();
  const moving = ratesChart();
  const counts = h("dl", { class: "figures small" });
  const opened = openChart();
  const churn = churnChart();
  view.add(
    alarms,
    figures,
    h("div", { class: "charts" }, queued.element, moving.element),
    counts,
    h("div", { class: "charts" }, opened.element, churn.element),
  );

  if (session.may("monitoring")) nodes(view, period, alarms);
  view.add(section("Longest queues", longest(view).element));
  const ports = h("ul", { class: "pairs columns-list" });
  if (session.may("monitoring")) view.add(section("Listening on", ports));

  await view.poll(async (signal) => {
    const overview = await get("/overview", period.query(), signal);
    const totals = preference.vhost ? await ofVhost(period.query(), signal) : overview;
    showFigures(figures, totals.queue_totals, totals.message_stats);
    queued.show(totals.queue_totals ?? {});
    moving.show(totals.message_stats ?? {});
    showCounts(counts, overview.object_totals);
    opened.show(overview.churn_rates ?? {});
    churn.show(overview.churn_rates ?? {});
    update(
      ports,
      (overview.listeners ?? []).map((listener) =>
        h(
          "li",
          null,
          h("b", null, listener.protocol),
          ` ${listener.ip_address} port ${listener.port}`,
        ),
      ),
    );
  });
}

/** The totals of the chosen virtual host, in the shape of the overview's. */
async function ofVhost(query, signal) {
  const vhosts = await get("/vhosts", query, signal);
  const vhost = vhosts.find(({ name }) => name === preference.vhost) ?? {};
  return { queue_totals: vhost, message_stats: vhost.message_stats };
}

function showFigures(element, totals = {}, stats = {}) {
  const figure = (label, text, href) =>
    h("div", null, h("dt", null, label), h("dd", null, href ? h("a", { href }, text) : text));
  const flow = (key) => rate(stats[`${key}_details`]?.rate ?? 0);
  update(
    element,
    figure("Queued messages", compact(totals.messages ?? 0), "#/queues?sort=messages&reverse=1"),
    figure("Ready", compact(totals.messages_ready ?? 0)),
    figure("Unacknowledged", compact(totals.messages_unacknowledged ?? 0)),
    figure("Published", flow("publish")),
    figure("Delivered", flow("deliver_get")),
    figure("Acknowledged", flow("ack")),
  );
}

function showCounts(element, totals = {}) {
  const entry = (label, n, href) =>
    h(
      "div",
      null,
      h("dt", null, label),
      h("dd", null, href ? h("a", { href }, count(n ?? 0)) : count(n ?? 0)),
    );
  update(
    element,
    entry("Connections", totals.connections, "#/connections"),
    entry("Channels", totals.channels, "#/channels"),
    entry("Consumers", totals.consumers),
    entry("Exchanges", totals.exchanges, "#/exchanges"),
    entry("Queues", totals.queues, "#/queues"),
  );
}

function nodes(view, period, alarms) {
  const list = h("div");
  const charts = nodeCharts();
  view.add(section("Node", list, charts.element));
  view.poll(async (signal) => {
    const all = await get("/nodes", period.query(), signal);
    update(alarms, all.flatMap(alarmsOf));
    update(list, all.flatMap(nodeLine));
    if (all.length) charts.show(all[0]);
  });
}

function alarmsOf(node) {
  const alarm = (text) =>
    h(
      "p",
      { class: "notice bad", role: "alert" },
      h("b", null, "Alarm on ", node.name, ": "),
      text,
    );
  return [
    node.mem_alarm &&
      alarm(
        `memory use of ${bytes(node.mem_used)} is above ${bytes(node.mem_limit)}. Publishers are blocked until queues shrink; consume or purge, or raise vm_memory_high_watermark.`,
      ),
    node.disk_free_alarm &&
      alarm(
        `only ${bytes(node.disk_free)} of disk are free, the limit is ${bytes(node.disk_free_limit)}. Publishers are blocked until there is more room; free space, or lower disk_free_limit.`,
      ),
    node.running === false && alarm("this node is down."),
  ];
}

function nodeLine(node) {
  return [
    h(
      "p",
      null,
      nameLink(link`/nodes/${node.name}`, node.name),
      h("span", { class: "quiet-text" }, ` up for ${duration(node.uptime)}`),
    ),
    nodeMeters(node),
  ];
}

function longest(view) {
  const source = remote(scoped("/queues"), [
    "name",
    "vhost",
    "messages",
    "messages_ready",
    "consumers",
    "message_stats",
  ]);
  return createTable(view, {
    id: "longest",
    caption: "Longest queues",
    noun: "queue",
    bare: true,
    rowKey: (row) => `${row.vhost}\n${row.name}`,
    empty: h(
      "p",
      null,
      "There are no queues yet. ",
      h("a", { href: "#/queues" }, "Add one"),
      ", or start an application that declares its own.",
    ),
    source: async (query, signal) => {
      const answer = await source(
        { ...query, page: 1, size: 5, sort: "messages", reverse: true },
        signal,
      );
      return { ...answer, pages: 1, total: answer.rows.length, filtered: answer.rows.length };
    },
    columns: [
      { key: "name", label: "Queue", cell: (row) => queueLink(row.vhost, row.name) },
      { key: "messages", label: "Messages", numeric: true, cell: (row) => count(row.messages) },
      { key: "consumers", label: "Consumers", numeric: true, cell: (row) => count(row.consumers) },
      {
        key: "in",
        label: "Published",
        numeric: true,
        cell: (row) => rateCell(row.message_stats, "publish"),
      },
      {
        key: "out",
        label: "Delivered",
        numeric: true,
        cell: (row) => rateCell(row.message_stats, "deliver_get"),
      },
    ],
  });
}
