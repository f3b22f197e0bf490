/* Owns how one message is shown: a line to tell it from others, and everything in it. */

import { ApiError } from "./api.js";
import { attempt } from "./dialog.js";
import { h } from "./dom.js";
import { bytes, duration, moment, plural } from "./format.js";
import { badge, channelLink, facts, queueLink, table } from "./parts.js";

/** How much of a payload is asked for. */
export const TRUNCATE_BYTES = 65536;

/** One line that tells messages apart. */
export function headline(message) {
  const death = deaths(message)[0];
  return [
    h("span", { class: "number" }, `${message.position + 1}`),
    " ",
    h("code", { class: "key" }, message.routing_key || "(empty key)"),
    h("span", { class: "preview" }, preview(message)),
    h(
      "span",
      { class: "badges" },
      message.state === "unacked" &&
        badge(
          `held by ${message.client || holder(message)} for ${duration(Date.now() - message.since_ms)}`,
          "delivered, not acknowledged yet",
        ),
      message.redelivered && badge("Redelivered", "was delivered before"),
      death &&
        badge(
          `${death.reason} from ${death.queue}${death.count > 1 ? ` ×${death.count}` : ""}`,
          "dead-lettered",
          "bad",
        ),
    ),
    h("small", null, bytes(message.payload_bytes)),
  ];
}

function preview({ payload, payload_encoding: encoding }) {
  return encoding === "base64" ? "(binary)" : payload.slice(0, 160).replace(/\s+/g, " ");
}

function deaths({ properties }) {
  const list = properties?.headers?.["x-death"];
  return Array.isArray(list) ? list : [];
}

function holder({ consumer_tag: tag }) {
  return tag ? `consumer ${tag}` : "basic.get";
}

/** All there is to say about a message. */
export function contents(vhost, message) {
  const { headers, ...properties } = message.properties ?? {};
  const other = { ...headers };
  delete other["x-death"]; // said in words below
  return h(
    "div",
    { class: "message-contents" },
    h(
      "dl",
      { class: "facts" },
      facts([
        [
          "Held by",
          message.state === "unacked" && [
            message.client && `${message.client}: `,
            `${holder(message)} on channel `,
            channelLink(message.channel_details.name),
          ],
        ],
        ["Since", message.state === "unacked" && moment(message.since_ms)],
        ["Published to", message.exchange || "(default exchange)"],
        ["Routing key", h("code", null, message.routing_key || "(empty)")],
        ["Properties", table(readable(properties))],
        ["Headers", table(other)],
        [
          "Dead-lettered",
          deaths(message).length
            ? h(
                "ul",
                null,
                deaths(message).map((each) =>
                  h(
                    "li",
                    null,
                    `${each.reason} from `,
                    each.queue ? queueLink(vhost, each.queue) : "?",
                    `, ${plural(each.count ?? 1, "time")}, first ${moment((each.time ?? NaN) * 1000)}`,
                  ),
                ),
              )
            : null,
        ],
      ]),
    ),
    payloadOf(message),
  );
}

function readable(properties) {
  const shown = { ...properties };
  if (shown.delivery_mode)
    shown.delivery_mode = shown.delivery_mode === 2 ? "2 (persistent)" : "1 (transient)";
  if (shown.timestamp) shown.timestamp = `${shown.timestamp} (${moment(shown.timestamp * 1000)})`;
  if (shown.expiration)
    shown.expiration = `${shown.expiration} (${duration(Number(shown.expiration))})`;
  return shown;
}

function payloadOf({ payload, payload_encoding: encoding, payload_bytes: size }) {
  const text = encoding === "base64" ? hex(payload) : pretty(payload);
  const truncated = size > TRUNCATE_BYTES;
  return [
    h(
      "div",
      { class: "actions" },
      h("h3", null, encoding === "base64" ? "Payload in hexadecimal" : "Payload"),
      h(
        "button",
        {
          type: "button",
          class: "quiet",
          onclick: () => attempt(() => copy(payload), "The payload is copied."),
        },
        "Copy",
      ),
      truncated && h("small", null, `The first ${bytes(TRUNCATE_BYTES)} of ${bytes(size)}.`),
    ),
    h("pre", { class: "payload", tabindex: "0", "aria-label": "Payload" }, text),
  ];
}

async function copy(text) {
  if (!navigator.clipboard) {
    throw new ApiError(0, "Browsers allow copying on pages of this machine or over HTTPS only.");
  }
  await navigator.clipboard.writeText(text);
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Sixteen octets a line, with their printable characters beside them. */
function hex(base64) {
  const octets = [...atob(base64)];
  const lines = [];
  for (let at = 0; at < octets.length; at += 16) {
    const row = octets.slice(at, at + 16);
    const codes = row.map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join(" ");
    lines.push(
      `${at.toString(16).padStart(6, "0")}  ${codes.padEnd(47)}  ${row.map((c) => (c >= " " && c <= "~" ? c : ".")).join("")}`,
    );
  }
  return lines.join("\n");
}
