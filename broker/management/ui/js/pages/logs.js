/* Owns the live tail of the broker's log. */

import { get } from "../api.js";
import { h, update } from "../dom.js";
import { clock, moment, plural } from "../format.js";

const LEVELS = ["debug", "info", "notice", "warning", "error", "critical"];
const LINES_MAX = 2000;
const EVERY_MS = 1000;

export async function show(view) {
  const lines = [];
  let last = 0;
  let paused = false;
  const level = h(
    "select",
    {
      "aria-label": "Level",
      onchange: () => {
        lines.length = 0;
        last = 0;
        view.refresh();
      },
    },
    LEVELS.map((name) =>
      h("option", { value: name, selected: name === "info" }, `${name} and above`),
    ),
  );
  const category = h(
    "select",
    { "aria-label": "Category", onchange: () => draw() },
    allCategories(),
  );
  const filter = h("input", {
    type: "search",
    class: "filter",
    "data-filter": true,
    "aria-label": "Show lines with",
    placeholder: "Show lines with",
    spellcheck: "false",
    oninput: () => draw(),
  });
  const pause = h(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      onclick: () => {
        paused = !paused;
        pause.setAttribute("aria-pressed", String(paused));
        update(pause, paused ? "Go on" : "Pause");
        if (!paused) view.refresh();
      },
    },
    "Pause",
  );
  const shown = h("span", { class: "position" });
  const tail = h("div", {
    class: "log",
    role: "log",
    "aria-live": "off",
    "aria-label": "Log",
    tabindex: "0",
  });
  view.heading("Log", {
    hint: "The broker's last lines, as they are written. Older ones are where the settings of log.* send them.",
  });
  view.add(h("div", { class: "listing-bar" }, filter, level, category, pause, shown), tail);

  const draw = () => {
    const words = filter.value.toLowerCase();
    const wanted = lines.filter(
      (line) =>
        (!category.value || line.category === category.value) &&
        `${line.category} ${line.message}`.toLowerCase().includes(words),
    );
    const atEnd = tail.scrollHeight - tail.scrollTop - tail.clientHeight < 40;
    update(
      tail,
      wanted.length
        ? wanted.map(logLine)
        : h(
            "p",
            { class: "hint" },
            lines.length ? "No line is like that." : "No line of this level yet.",
          ),
    );
    const all = plural(lines.length, "line");
    shown.textContent = wanted.length < lines.length ? `${wanted.length} of ${all}` : all;
    // Whoever scrolled up to read is not pulled down.
    if (atEnd) tail.scrollTop = tail.scrollHeight;
  };

  await view.poll(
    async (signal) => {
      if (paused) return;
      const answer = await get("/logs", { after: last, level: level.value }, signal);
      last = answer.last;
      lines.push(...answer.lines);
      lines.splice(0, lines.length - LINES_MAX);
      offer(category, answer.lines);
      if (answer.lines.length || !tail.childNodes.length) draw();
    },
    () => EVERY_MS,
  );
}

function allCategories() {
  return h("option", { value: "" }, "every category");
}

/** Adds the categories of new lines to those one can choose. */
function offer(select, lines) {
  const known = new Set([...select.options].map(({ value }) => value));
  const found = new Set(lines.map(({ category }) => category).filter((name) => !known.has(name)));
  select.append(...[...found].map((name) => h("option", { value: name }, name)));
}

function logLine({ time, level, category, message }) {
  const ms = typeof time === "number" ? time : Date.parse(time);
  return h(
    "p",
    { class: `level-${level}` },
    h("time", { title: moment(ms) }, clock(ms)),
    " ",
    h("b", null, level),
    " ",
    h("span", { class: "category" }, category),
    " ",
    h("span", null, message),
  );
}
