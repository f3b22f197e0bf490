/* Owns who is logged in, what that person may do, and preferences kept in this browser. */

import { ApiError, get } from "./api.js";

/** Which tags imply which others. */
const IMPLIED = {
  administrator: ["monitoring", "policymaker", "management"],
  monitoring: ["management"],
  policymaker: ["management"],
};

export const session = {
  user: null,
  tags: new Set(),
  vhosts: [],
  overview: null,

  /** Asks who the credentials belong to; throws an ApiError if they are not accepted. */
  async open() {
    const me = await get("/whoami").catch((error) => {
      if (error.code !== "not_authorised") throw error;
      throw new ApiError(401, "This user exists, but has none of the tags that this page needs.");
    });
    const tags = Array.isArray(me.tags) ? me.tags : String(me.tags ?? "").split(",");
    this.user = me.name;
    this.tags = new Set(tags.flatMap((tag) => [tag.trim(), ...(IMPLIED[tag.trim()] ?? [])]));
    [this.overview] = await Promise.all([get("/overview"), this.loadVhosts()]);
  },

  async loadVhosts() {
    const vhosts = await get("/vhosts", { columns: "name" });
    this.vhosts = vhosts.map((vhost) => vhost.name).sort();
    if (!this.vhosts.includes(preference.vhost)) preference.vhost = "";
  },

  /** Tells whether the user has a tag, or one that includes it. */
  may(tag) {
    return this.tags.has(tag);
  },

  /** The vhost that a form starts with. */
  get defaultVhost() {
    return preference.vhost || (this.vhosts.includes("/") ? "/" : (this.vhosts[0] ?? "/"));
  },
};

function stored(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(`leveret.${key}`)) ?? fallback;
  } catch {
    return fallback;
  }
}

function store(key, value) {
  localStorage.setItem(`leveret.${key}`, JSON.stringify(value));
}

/** Preferences; an empty vhost means all of them, an interval of 0 means never. */
export const preference = {
  get vhost() {
    return stored("vhost", "");
  },
  set vhost(name) {
    store("vhost", name);
  },
  get refreshMs() {
    return stored("refresh_ms", 5000);
  },
  set refreshMs(ms) {
    store("refresh_ms", ms);
  },
  get singleKeys() {
    return stored("single_keys", true);
  },
  set singleKeys(on) {
    store("single_keys", on);
  },
  get chartSeconds() {
    return stored("chart_s", 600);
  },
  set chartSeconds(seconds) {
    store("chart_s", seconds);
  },
  get pageSize() {
    return stored("page_size", 50);
  },
  set pageSize(n) {
    store("page_size", n);
  },
  hiddenColumns(table, fallback) {
    return new Set(stored(`columns.${table}`, fallback));
  },
  hideColumns(table, keys) {
    store(`columns.${table}`, [...keys]);
  },
};
