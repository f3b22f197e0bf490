/* Owns what the page explains about arguments of queues and exchanges and keys of policies. */

const OVERFLOW = ["drop-head", "reject-publish", "reject-publish-dlx"];
const RETRY = ["disabled", "all", "failed", "returned"];

/** What a queue can be told as an argument (with x- before it) and by a policy alike. */
const SHARED = [
  { key: "message-ttl", type: "number", help: "Milliseconds after which a message expires." },
  {
    key: "expires",
    type: "number",
    help: "Milliseconds without use after which the queue is deleted.",
  },
  { key: "max-length", type: "number", help: "How many ready messages it may hold." },
  {
    key: "max-length-bytes",
    type: "number",
    help: "How many bytes of ready messages it may hold.",
  },
  {
    key: "overflow",
    type: "text",
    options: OVERFLOW,
    help: "What happens at the limit: drop the oldest, or refuse the newest.",
  },
  {
    key: "dead-letter-exchange",
    type: "text",
    help: "Where rejected, expired and dropped messages go.",
  },
  {
    key: "dead-letter-routing-key",
    type: "text",
    help: "The routing key of dead letters; their own if left out.",
  },
  {
    key: "consumer-timeout",
    type: "number",
    help: "Milliseconds that a consumer may take to acknowledge.",
  },
  {
    key: "delivery-limit",
    type: "number",
    help: "Returns after which a message is dead-lettered (quorum queues).",
  },
  {
    key: "delayed-retry-type",
    type: "text",
    options: RETRY,
    help: "Which returned messages wait before the next delivery.",
  },
  {
    key: "delayed-retry-strategy",
    type: "text",
    options: ["linear", "exponential"],
    help: "How the wait grows with each return.",
  },
  { key: "delayed-retry-min", type: "number", help: "Milliseconds of the first wait." },
  { key: "delayed-retry-max", type: "number", help: "Milliseconds of the longest wait." },
  { key: "max-age", type: "text", help: "How long a stream keeps messages, such as 7D or 12h." },
];

export const QUEUE_ARGUMENTS = [
  ...SHARED.map((one) => ({ ...one, key: `x-${one.key}` })),
  {
    key: "x-max-priority",
    type: "number",
    help: "The highest priority, 1 to 255 (classic queues); 10 is plenty.",
  },
  {
    key: "x-single-active-consumer",
    type: "true or false",
    help: "Only one consumer gets messages; the next takes over when it goes.",
  },
  {
    key: "x-message-group-header",
    type: "text",
    help: "Header whose value makes a group: one message of each at a time, in order.",
  },
];

export const EXCHANGE_ARGUMENTS = [
  { key: "alternate-exchange", type: "text", help: "Where messages go that match no binding." },
  {
    key: "x-delayed-type",
    type: "text",
    options: ["direct", "fanout", "topic", "headers"],
    help: "How a delayed-message exchange routes once the delay is over.",
  },
  {
    key: "hash-header",
    type: "text",
    help: "Header that a consistent-hash exchange hashes instead of the routing key.",
  },
  {
    key: "x-cache-size",
    type: "number",
    help: "How many message ids a deduplicating exchange remembers.",
  },
  { key: "x-cache-ttl", type: "number", help: "Milliseconds for which it remembers them." },
];

export const POLICY_KEYS = [
  ...SHARED,
  {
    key: "alternate-exchange",
    type: "text",
    help: "For exchanges: where messages go that match no binding.",
  },
  {
    key: "delayed-message",
    type: "true or false",
    help: "For exchanges: messages with a header x-delay wait that many milliseconds.",
  },
];

const OPERATOR = new Set([
  "message-ttl",
  "expires",
  "max-length",
  "max-length-bytes",
  "overflow",
  "delivery-limit",
]);

/** Operators may only tighten limits, so theirs are fewer. */
export const OPERATOR_KEYS = SHARED.filter(({ key }) => OPERATOR.has(key));

export const VHOST_LIMITS = [
  { value: "max-connections", label: "max-connections: connections at a time" },
  { value: "max-queues", label: "max-queues: queues of every kind" },
];

export const USER_LIMITS = [
  { value: "max-connections", label: "max-connections: connections at a time" },
  { value: "max-channels", label: "max-channels: channels over all connections" },
];

export const USER_TAGS = [
  { value: "", label: "none: no management access, AMQP only" },
  { value: "management", label: "management: own virtual hosts" },
  { value: "policymaker", label: "policymaker: policies too" },
  { value: "monitoring", label: "monitoring: see everything" },
  { value: "administrator", label: "administrator: everything" },
];
