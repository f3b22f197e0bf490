/* Owns addresses: `#/queues/%2F/name?sort=messages` names a page, its parameters and its options.
 *
 * The paths are those of RabbitMQ's page, so links kept elsewhere go on working. */

/** Builds an address with every name escaped: link`/queues/${vhost}/${name}`. */
export function link(parts, ...names) {
  return `#${parts.reduce((text, part, index) => text + encodeURIComponent(names[index - 1]) + part)}`;
}

/** Takes the current address apart. */
export function location() {
  const [pathname, search = ""] = (window.location.hash.slice(1) || "/").split("?", 2);
  return { pathname, options: new URLSearchParams(search) };
}

/** Writes options of the page into the address without a new entry in the history. */
export function setOptions(changes) {
  const { pathname, options } = location();
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null || value === undefined || value === false)
      options.delete(name);
    else options.set(name, value === true ? "1" : value);
  }
  history.replaceState(null, "", `#${pathname}${options.size ? `?${options}` : ""}`);
}

export function go(address) {
  window.location.hash = address;
}

/** Finds the route of a path; parameters come decoded. */
export function match(routes, pathname) {
  const segments = pathname.split("/").slice(1);
  for (const route of routes) {
    const pattern = route.path.split("/").slice(1);
    if (pattern.length !== segments.length) continue;
    const params = {};
    const fits = pattern.every((part, index) => {
      if (!part.startsWith(":")) return part === segments[index];
      params[part.slice(1)] = decode(segments[index]);
      return true;
    });
    if (fits) return { route, params };
  }
  return null;
}

function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
