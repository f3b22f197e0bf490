/* Owns the form that publishes a message. */

import { ApiError, exchangeSegment, path, post } from "./api.js";
import { note } from "./dialog.js";
import { createForm } from "./form.js";

const TEXTS = [
  "content_type",
  "content_encoding",
  "correlation_id",
  "reply_to",
  "expiration",
  "message_id",
  "type",
  "app_id",
];
const NUMBERS = ["priority", "timestamp"];
const PROPERTIES = [
  ...TEXTS.map((key) => ({
    key,
    type: "text",
    help: key === "expiration" ? "Milliseconds until it expires, as text." : " ",
  })),
  ...NUMBERS.map((key) => ({
    key,
    type: "number",
    help: key === "timestamp" ? "Seconds since 1970." : " ",
  })),
];

/** Publishes to an exchange; `key` is what the routing key starts with. */
export function publishForm(view, { vhost, exchange, key = "" }) {
  return createForm({
    submit: "Publish message",
    keep: true,
    fields: [
      { name: "key", label: "Routing key", value: key },
      {
        name: "persistent",
        label: "Persistent: survives a restart in a durable queue",
        type: "checkbox",
        value: true,
      },
      { name: "payload", label: "Payload", type: "area", rows: 5 },
      {
        name: "encoding",
        label: "The payload is",
        type: "select",
        options: [
          { value: "string", label: "text" },
          { value: "base64", label: "Base64 of the octets" },
        ],
      },
      { name: "headers", label: "Headers", type: "arguments" },
      { name: "properties", label: "Properties", type: "arguments", known: PROPERTIES },
    ],
    onSubmit: async ({ key: routingKey, persistent, payload, encoding, headers, properties }) => {
      const answer = await post(path`/exchanges/${vhost}/${exchangeSegment(exchange)}/publish`, {
        routing_key: routingKey,
        payload,
        payload_encoding: encoding,
        properties: { ...properties, delivery_mode: persistent ? 2 : 1, headers },
      });
      if (!answer.routed) {
        throw new ApiError(
          0,
          `The exchange took it, but no queue is bound for the routing key “${routingKey}”: the message is gone.`,
        );
      }
      note("Published, and at least one queue has it.");
      await view.refresh();
    },
  });
}
