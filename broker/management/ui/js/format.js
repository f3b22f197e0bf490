/* Owns how numbers, sizes, rates and times are written. Everything returns plain text. */

const INTEGER = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const ONE_DIGIT = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const SPANS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

export const NONE = "–";

export function count(value) {
  return Number.isFinite(value) ? INTEGER.format(value) : NONE;
}

/** A count for tight places: 12,345,678 becomes 12.3M. */
export function compact(value) {
  if (!Number.isFinite(value)) return NONE;
  return Math.abs(value) < 10000 ? INTEGER.format(value) : COMPACT.format(value);
}

export function rate(perSecond) {
  if (!Number.isFinite(perSecond)) return NONE;
  return `${perSecond !== 0 && Math.abs(perSecond) < 10 ? ONE_DIGIT.format(perSecond) : compact(perSecond)}/s`;
}

export function bytes(value) {
  if (!Number.isFinite(value)) return NONE;
  let unit = 0;
  let size = value;
  while (Math.abs(size) >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit && Math.abs(size) < 100 ? ONE_DIGIT.format(size) : INTEGER.format(size)} ${UNITS[unit]}`;
}

/** A time span in its two largest units: 3 d 4 h. */
export function duration(ms) {
  if (!Number.isFinite(ms)) return NONE;
  if (Math.abs(ms) < 1000) return `${Math.round(ms)} ms`;
  let seconds = Math.round(Math.abs(ms) / 1000);
  const parts = [];
  for (const [span, name] of SPANS) {
    const n = Math.floor(seconds / span);
    seconds -= n * span;
    if (n || parts.length) parts.push(n ? `${n} ${name}` : "");
    if (parts.length === 2) break;
  }
  return (ms < 0 ? "−" : "") + parts.filter(Boolean).join(" ");
}

export function ago(ms, now = Date.now()) {
  return ms <= now ? `${duration(now - ms)} ago` : `in ${duration(ms - now)}`;
}

/** A moment as YYYY-MM-DD HH:MM:SS in the reader's time zone. */
export function moment(ms) {
  if (!Number.isFinite(ms)) return NONE;
  const date = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(ms)}`;
}

/** The time of day as HH:MM:SS. */
export function clock(ms) {
  const date = new Date(ms);
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((n) => String(n).padStart(2, "0"))
    .join(":");
}

/** "1 message", "2 messages". */
export function plural(n, noun) {
  return `${count(n)} ${n === 1 ? noun : plurals(noun)}`;
}

/** "queues", "policies", "matches". */
export function plurals(noun) {
  if (/[^aeiou]y$/.test(noun)) return `${noun.slice(0, -1)}ies`;
  return /(s|x|ch|sh)$/.test(noun) ? `${noun}es` : `${noun}s`;
}

/** A value of a table of arguments, on one line. */
export function value(anything) {
  return typeof anything === "string" ? anything : JSON.stringify(anything);
}
