/* Owns the list of consumers of a queue or a channel. */

import { count } from "./format.js";
import { channelLink, queueLink, table } from "./parts.js";
import { local } from "./sources.js";
import { createTable } from "./table.js";

/** `details()` gives the consumers that the page has, `of` says of what: "queue" or "channel". */
export function consumersTable(view, { details, of, empty }) {
  return createTable(view, {
    id: `consumers-of-${of}`,
    caption: "Consumers",
    noun: "consumer",
    driven: true,
    source: local(
      async () => details() ?? [],
      (row) => row.consumer_tag,
    ),
    rowKey: (row) => `${row.channel_details?.name} ${row.consumer_tag}`,
    empty,
    columns: [
      { key: "tag", label: "Consumer tag", sort: "consumer_tag", cell: (row) => row.consumer_tag },
      of === "queue"
        ? {
            key: "channel",
            label: "Channel",
            sort: "channel_details.name",
            cell: (row) =>
              row.channel_details?.name ? channelLink(row.channel_details.name) : "–",
          }
        : {
            key: "queue",
            label: "Queue",
            sort: "queue.name",
            cell: (row) => queueLink(row.queue.vhost, row.queue.name),
          },
      { key: "ack", label: "Acknowledges", cell: (row) => (row.ack_required ? "yes" : "no") },
      {
        key: "exclusive",
        label: "Exclusive",
        narrow: false,
        cell: (row) => (row.exclusive ? "yes" : "no"),
      },
      {
        key: "active",
        label: "Status",
        cell: (row) =>
          row.active === false ? "waiting" : (row.activity_status ?? "active").replaceAll("_", " "),
      },
      {
        key: "prefetch",
        label: "Prefetch",
        numeric: true,
        sort: "prefetch_count",
        cell: (row) => (row.prefetch_count ? count(row.prefetch_count) : "no limit"),
      },
      {
        key: "arguments",
        label: "Arguments",
        narrow: false,
        cell: (row) => table(row.arguments) ?? "",
      },
    ],
  });
}
