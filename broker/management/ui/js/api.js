/* Owns the HTTP API: addresses, credentials, and errors turned into sentences.
 *
 * Invariants:
 * - Credentials go out as an Authorization header and never as a cookie, so another site's page
 *   cannot act in the operator's name.
 * - Whatever goes wrong arrives as an ApiError, whose message can be shown as it is. */

const KEY = "leveret.authorization";
const BASE = new URL("api", document.baseURI).pathname;

export class ApiError extends Error {
  /** `status` is HTTP's, 0 if there was no answer; `code` is what the API calls the error. */
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Builds a path with every name escaped: path`/queues/${vhost}/${name}`. */
export function path(parts, ...names) {
  return parts.reduce((text, part, index) => text + escape(names[index - 1]) + part);
}

function escape(name) {
  if (name === "." || name === "..") {
    throw new ApiError(
      0,
      `The name “${name}” cannot be part of an address; use an AMQP client for it.`,
    );
  }
  return encodeURIComponent(name);
}

/** The path segment of an exchange: the default one has no name. */
export function exchangeSegment(name) {
  return name === "" ? "amq.default" : name;
}

export const credentials = {
  get known() {
    return sessionStorage.getItem(KEY) !== null;
  },
  /** Remembers a login until the tab is closed. */
  setPassword(user, password) {
    sessionStorage.setItem(KEY, `Basic ${btoa(headerText(`${user}:${password}`))}`);
  },
  setToken(token) {
    sessionStorage.setItem(KEY, `Bearer ${token}`);
  },
  forget() {
    sessionStorage.removeItem(KEY);
  },
};

/** Calls the API and gives the decoded answer, or null where there is none; with `isText`, the text. */
export async function call(method, address, { query, body, headers, signal, isText } = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") search.set(name, value);
  }
  const sent = { ...headers, Authorization: sessionStorage.getItem(KEY) ?? "" };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(`${BASE}${address}${search.size ? `?${search}` : ""}`, {
      method,
      headers: sent,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "omit", // also keeps the browser's own login box away
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The broker does not answer. It may be stopped, or the network is down.");
  }
  const text = await response.text();
  if (response.ok && isText) return text;
  const answer = parsed(text);
  if (response.ok) return answer;
  const error = new ApiError(response.status, sentence(response.status, answer), answer?.error);
  if (response.status === 401 && answer?.error !== "not_authorised") {
    document.dispatchEvent(new CustomEvent("unauthorized", { detail: error.message }));
  }
  throw error;
}

export const get = (address, query, signal) => call("GET", address, { query, signal });
export const getText = (address) => call("GET", address, { isText: true });
export const put = (address, body = {}) => call("PUT", address, { body });
export const post = (address, body = {}, signal) => call("POST", address, { body, signal });
export const remove = (address, headers) => call("DELETE", address, { headers });

/** A text as a header takes it: UTF-8, an octet a character. */
export function headerText(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

/** Says what an error answer means to the person who caused it. */
function sentence(status, answer) {
  const reason = words(answer?.reason);
  if (status === 401 && answer?.error === "not_authorised") {
    return `You may not do this${reason && reason !== "Access refused." ? `: ${reason}` : ""}.`;
  }
  if (status === 401) return "Login failed: the user name or the password is wrong.";
  if (status === 404)
    return reason && reason !== "Not Found" ? capital(reason) : "It does not exist, or no longer.";
  if (status === 413) return "This is larger than the broker takes in one request.";
  if (reason) return capital(reason);
  return status >= 500
    ? `The broker failed to do this (HTTP ${status}). Its log says more.`
    : `The broker refused this (HTTP ${status}).`;
}

/** Flattens a reason, which may be a list of terms with texts as lists of codes. */
function words(reason) {
  if (reason === null || reason === undefined) return "";
  if (typeof reason === "string") return reason.trim().replace(/\s+/g, " ").replace(/\.$/, "");
  if (!Array.isArray(reason)) return JSON.stringify(reason);
  if (reason.length && reason.every(Number.isInteger)) return String.fromCodePoint(...reason);
  return reason.map(words).join(" ").replaceAll("_", " ");
}

/** Begins a sentence, unless with a name such as channel_max. */
function capital(text) {
  return /^[a-z]+\b(?![._-])/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
}
