/* Owns the charts that several pages show: what the API's samples are called, and for how long to ask. */

import { createChart, differences, levels, levelsSinceStart, rates } from "./chart.js";
import { h } from "./dom.js";
import { bytes, compact, rate } from "./format.js";
import { preference } from "./session.js";

const PERIODS = [
  [60, 5, "last minute"],
  [600, 5, "last 10 minutes"],
  [3600, 60, "last hour"],
  [28800, 600, "last 8 hours"],
  [86400, 1800, "last day"],
];

const TOTALS = [
  { key: "messages", label: "Total", tone: 1 },
  { key: "messages_ready", label: "Ready", tone: 2 },
  { key: "messages_unacknowledged", label: "Unacknowledged", tone: 3 },
];

const RATES = [
  { key: "publish", label: "Publish", tone: 1 },
  { key: "confirm", label: "Confirm", tone: 4 },
  { key: "deliver_get", label: "Deliver", tone: 2 },
  { key: "ack", label: "Acknowledge", tone: 5 },
  { key: "redeliver", label: "Redeliver", tone: 3 },
  { key: "drop_unroutable", label: "Unroutable, dropped", tone: 6 },
  { key: "publish_in", label: "Publish in", tone: 1 },
  { key: "publish_out", label: "Publish out", tone: 2 },
];

/** A select for the period, and the query that asks for its samples. */
export function periodChoice(onChange) {
  const select = h(
    "select",
    {
      onchange: () => {
        preference.chartSeconds = Number(select.value);
        onChange();
      },
    },
    PERIODS.map(([age, , text]) =>
      h("option", { value: age, selected: age === preference.chartSeconds }, text),
    ),
  );
  return {
    element: h("label", { class: "inline" }, "Charts of the", select),
    query() {
      const [age, incr] = PERIODS.find(([seconds]) => seconds === Number(select.value));
      return Object.fromEntries(
        ["lengths", "msg_rates", "data_rates", "node_stats"].flatMap((name) => [
          [`${name}_age`, age],
          [`${name}_incr`, incr],
        ]),
      );
    },
  };
}

/** Queued messages of an object with messages_details and so on. */
export function queuedChart() {
  const chart = createChart({
    title: "Queued messages",
    series: TOTALS,
    format: compact,
    integer: true,
  });
  return {
    element: chart.element,
    show: (totals) => chart.show(pick(TOTALS, totals, levels)),
  };
}

/** Message rates of an object's message_stats. */
export function ratesChart() {
  const chart = createChart({ title: "Message rates", series: RATES, format: rate });
  return {
    element: chart.element,
    show: (stats) => chart.show(pick(RATES, stats, rates)),
  };
}

/** Octets from and to clients. */
export function dataChart() {
  const series = [
    { key: "recv_oct", label: "From client", tone: 1 },
    { key: "send_oct", label: "To client", tone: 2 },
  ];
  const chart = createChart({
    title: "Data rates",
    series,
    format: (v) => `${bytes(v)}/s`,
    unit: "1024",
  });
  return { element: chart.element, show: (object) => chart.show(pick(series, object, rates)) };
}

const OPEN = [
  { key: "connection", label: "Connections", tone: 1 },
  { key: "channel", label: "Channels", tone: 2 },
];

/** Open connections and channels, by what the overview's churn says of them. */
export function openChart() {
  const chart = createChart({
    title: "Open connections and channels",
    series: OPEN,
    format: compact,
    integer: true,
  });
  return {
    element: chart.element,
    show: (churn) =>
      chart.show(
        Object.fromEntries(
          OPEN.map(({ key }) => [
            key,
            differences(churn[`${key}_created_details`], churn[`${key}_closed_details`]),
          ]),
        ),
      ),
  };
}

const CHURN = [
  { key: "connection_created", label: "Connections opened", tone: 1 },
  { key: "connection_closed", label: "Connections closed", tone: 3 },
  { key: "channel_created", label: "Channels opened", tone: 2 },
  { key: "channel_closed", label: "Channels closed", tone: 5 },
  { key: "queue_declared", label: "Queues declared", tone: 4 },
];

/** How fast things come and go: clients that connect for every message show here. */
export function churnChart() {
  const chart = createChart({ title: "Opened and closed", series: CHURN, format: rate });
  return { element: chart.element, show: (churn) => chart.show(pick(CHURN, churn, rates)) };
}

/** One level of a node, such as memory, with its limit. */
export function levelChart(title, key, label, format, tone = 1) {
  const unit = format === bytes ? "1024" : "10";
  const chart = createChart({ title, series: [{ key, label, tone }], format, unit, integer: true });
  return {
    element: chart.element,
    show: (object, limit) => chart.show(pick([{ key }], object, levelsSinceStart), limit),
  };
}

function pick(series, object, read) {
  return Object.fromEntries(
    series
      .filter(({ key }) => object?.[`${key}_details`])
      .map(({ key }) => [key, read(object[`${key}_details`])]),
  );
}
