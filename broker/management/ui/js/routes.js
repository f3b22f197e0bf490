/* Owns the list of pages: address, module, and place in the navigation. */

export const GROUPS = ["Watch", "Look inside", "Administer"];

/** `nav` is the label in the navigation, `key` the second key of its shortcut, `tag` who sees it. */
export const ROUTES = [
  { path: "/", load: () => import("./pages/overview.js"), nav: "Overview", group: 0, key: "o" },
  { path: "/connections", load: () => import("./pages/connections.js"), nav: "Connections", group: 0, key: "c" },
  { path: "/channels", load: () => import("./pages/channels.js"), nav: "Channels", group: 0, key: "h" },
  { path: "/exchanges", load: () => import("./pages/exchanges.js"), nav: "Exchanges", group: 0, key: "e" },
  { path: "/queues", load: () => import("./pages/queues.js"), nav: "Queues and streams", group: 0, key: "q" },
  { path: "/topology", load: () => import("./pages/topology.js"), nav: "Topology", group: 1, key: "t" },
  { path: "/delayed", load: () => import("./pages/delayed.js"), nav: "Delayed messages", group: 1, key: "d" },
  { path: "/logs", load: () => import("./pages/logs.js"), nav: "Log", group: 1, key: "l", tag: "monitoring" },
  { path: "/users", load: () => import("./pages/users.js"), nav: "Users", group: 2, key: "u", tag: "administrator" },
  { path: "/vhosts", load: () => import("./pages/vhosts.js"), nav: "Virtual hosts", group: 2, key: "v", tag: "administrator" },
  { path: "/policies", load: () => import("./pages/policies.js"), nav: "Policies", group: 2, key: "p", tag: "policymaker" },
  { path: "/limits", load: () => import("./pages/limits.js"), nav: "Limits", group: 2, key: "i", tag: "administrator" },
  { path: "/definitions", load: () => import("./pages/definitions.js"), nav: "Definitions", group: 2, key: "f", tag: "administrator" },
  { path: "/nodes/:name", load: () => import("./pages/node.js"), parent: "/" },
  { path: "/connections/:name", load: () => import("./pages/connection.js"), parent: "/connections" },
  { path: "/channels/:name", load: () => import("./pages/channel.js"), parent: "/channels" },
  { path: "/exchanges/:vhost/:name", load: () => import("./pages/exchange.js"), parent: "/exchanges" },
  { path: "/queues/:vhost/:name", load: () => import("./pages/queue.js"), parent: "/queues" },
  { path: "/users/:name", load: () => import("./pages/user.js"), parent: "/users" },
  { path: "/vhosts/:name", load: () => import("./pages/vhost.js"), parent: "/vhosts" },
];
