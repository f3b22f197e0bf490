/* Owns where tables get their rows from: a list that the server pages, or a short one paged here. */

import { ApiError, get } from "./api.js";

/** Rows of a list that the server pages, sorts and filters; `address()` may follow the chosen vhost. */
export function remote(address, fields) {
  const fetchPage = async (query, signal) => {
    const answer = await get(
      address(),
      {
        page: query.page,
        page_size: query.size,
        pagination: "true",
        name: query.name,
        use_regex: query.regex ? "true" : "false",
        sort: query.sort,
        sort_reverse: query.sort ? String(query.reverse) : "",
        columns: fields?.join(","),
      },
      signal,
    );
    return {
      rows: answer.items,
      total: answer.total_count,
      filtered: answer.filtered_count,
      page: answer.page,
      pages: Math.max(1, answer.page_count),
    };
  };
  return async (query, signal) => {
    try {
      return await fetchPage(query, signal);
    } catch (error) {
      // The list became shorter than the page that was looked at.
      if (!(error instanceof ApiError) || error.status !== 400 || query.page === 1) throw error;
      return fetchPage({ ...query, page: 1 }, signal);
    }
  };
}

/** Rows of a list that is short by nature; `text(row)` is what the filter looks at. */
export function local(load, text = (row) => row.name) {
  return async (query, signal) => {
    const all = await load(signal);
    const rows = all.filter(matcher(query, text));
    if (query.sort) {
      rows.sort((a, b) => compare(field(a, query.sort), field(b, query.sort)));
      if (query.reverse) rows.reverse();
    }
    const pages = Math.max(1, Math.ceil(rows.length / query.size));
    const page = Math.min(query.page, pages);
    return {
      rows: rows.slice((page - 1) * query.size, page * query.size),
      total: all.length,
      filtered: rows.length,
      page,
      pages,
    };
  };
}

function matcher({ name, regex }, text) {
  if (!name) return () => true;
  if (!regex) return (row) => text(row).toLowerCase().includes(name.toLowerCase());
  let pattern;
  try {
    pattern = new RegExp(name, "i");
  } catch {
    throw new ApiError(400, `“${name}” is not a regular expression.`);
  }
  return (row) => pattern.test(text(row));
}

function field(row, name) {
  return name.split(".").reduce((value, key) => value?.[key], row);
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a ?? "").localeCompare(String(b ?? ""), "en", { numeric: true });
}
