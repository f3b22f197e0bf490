/* Owns small pieces that many pages show: links to objects, badges, lists of facts, meters, tabs. */

import { ApiError, exchangeSegment, get, path } from "./api.js";
import { h } from "./dom.js";
import { NONE, rate, value } from "./format.js";
import { link } from "./router.js";
import { preference, session } from "./session.js";

const TIP_MIN = 40;

/** A link whose text is a name; a long one, which a list may cut off, is whole in its tip. */
export function nameLink(href, name) {
  return h("a", { href, class: "name", title: name.length >= TIP_MIN ? name : null }, name);
}

/** What people chose, such as a name, where it leads nowhere. */
export function given(text) {
  return text ? h("span", { class: "name" }, text) : "";
}

export function queueLink(vhost, name) {
  return nameLink(link`/queues/${vhost}/${name}`, name);
}

export function exchangeLink(vhost, name) {
  return nameLink(link`/exchanges/${vhost}/${exchangeSegment(name)}`, name || "(default)");
}

export function connectionLink(name, text) {
  return nameLink(link`/connections/${name}`, text || name);
}

export function channelLink(name) {
  return nameLink(link`/channels/${name}`, name);
}

export function vhostLink(name) {
  return nameLink(link`/vhosts/${name}`, name);
}

export function userLink(name) {
  return session.may("administrator") ? nameLink(link`/users/${name}`, name) : given(name);
}

/** The column for the virtual host, unless one is chosen. */
export function vhostColumn() {
  if (preference.vhost || session.vhosts.length < 2) return [];
  return [{ key: "vhost", label: "Virtual host", sort: "vhost", cell: (row) => given(row.vhost) }];
}

/** The address of a list, for the chosen virtual host only if there is one. */
export function scoped(list) {
  return () => (preference.vhost ? `${list}${path`/${preference.vhost}`}` : list);
}

/** A list that has no address for one virtual host, cut down to the chosen one. */
export async function listInScope(address, signal) {
  const rows = await get(address, null, signal);
  return preference.vhost ? rows.filter((row) => row.vhost === preference.vhost) : rows;
}

/** A rate out of message_stats, quiet where nothing moves. */
export function rateCell(stats, key) {
  const perSecond = stats?.[`${key}_details`]?.rate;
  return h(
    "span",
    { class: perSecond ? null : "quiet-text" },
    perSecond === undefined ? NONE : rate(perSecond),
  );
}

/** The column of a rate; sorted by the server. */
export function rateColumn(key, label, more = {}) {
  return {
    key: `rate.${key}`,
    label,
    numeric: true,
    narrow: false,
    sort: `message_stats.${key}_details.rate`,
    cell: (row) => rateCell(row.message_stats, key),
    ...more,
  };
}

export function badge(text, title, tone = "") {
  return h("abbr", { class: `badge ${tone}`, title }, text);
}

const STATES = { running: "good", idle: "", flow: "warn", blocked: "bad", blocking: "warn" };

/** The state of something, with a dot of its tone. */
export function state(text, tones = STATES) {
  if (!text) return NONE;
  const tone = tones[text] ?? "warn";
  return h("span", { class: `state ${tone}` }, text);
}

/** A list of facts: [label, content] pairs; empty ones are left out. */
export function facts(pairs) {
  return pairs
    .filter(
      ([, content]) =>
        content !== null && content !== undefined && content !== "" && content !== false,
    )
    .map(([label, content]) => h("div", null, h("dt", null, label), h("dd", null, content)));
}

/** A table of arguments as facts, or null if there are none. */
export function table(object) {
  const entries = Object.entries(object ?? {});
  if (!entries.length) return null;
  return h(
    "ul",
    { class: "pairs" },
    entries.map(([key, content]) =>
      h(
        "li",
        null,
        h("b", null, key),
        " ",
        typeof content === "object" && content !== null && !Array.isArray(content)
          ? (table(content) ?? "{}")
          : value(content),
      ),
    ),
  );
}

/** How much of a limit is used, as bar and text. */
export function meter(used, limit, text, label) {
  const share = limit > 0 ? Math.min(1, used / limit) : 0;
  const tone = share > 0.9 ? "bad" : share > 0.7 ? "warn" : "good";
  const bar = h("span", { class: `meter ${tone}`, "aria-hidden": "true" }, h("span"));
  bar.firstChild.style.setProperty("width", `${(share * 100).toFixed(1)}%`);
  return h(
    "div",
    { class: "metered" },
    h("span", null, label && h("b", null, label), " ", text),
    bar,
  );
}

/** A part of a page with a heading. */
export function section(title, ...content) {
  return h("section", { class: "part" }, h("h2", null, title), content);
}

/** Asks for an object and turns its absence into a sentence about it. */
export async function getNamed(address, what, query, signal) {
  try {
    return await get(address, query, signal);
  } catch (error) {
    if (error.status !== 404) throw error;
    throw new ApiError(
      404,
      `There is no such ${what}, or no longer. It may have been deleted, or its owner is gone.`,
    );
  }
}

/** Choices of virtual hosts for forms. */
export function vhostField() {
  return {
    name: "vhost",
    label: "Virtual host",
    type: "select",
    options: session.vhosts,
    value: session.defaultVhost,
  };
}

/** Saves text as a file. */
export function download(name, text, type = "application/json") {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const anchor = h("a", { href: address, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  URL.revokeObjectURL(address);
}
