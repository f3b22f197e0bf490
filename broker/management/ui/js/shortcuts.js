/* Owns the keyboard: which key does what, and the help that lists them. */

import { open } from "./dialog.js";
import { h, isTyping } from "./dom.js";
import { openPalette } from "./palette.js";
import { go } from "./router.js";
import { ROUTES } from "./routes.js";
import { preference, session } from "./session.js";

const SEQUENCE_MS = 1500;

let page = null;
let installed = false;
let awaiting = 0;

const KEYS = {
  "?": ["Show this help", () => openHelp()],
  "/": ["Filter the list", () => focusFirst("[data-filter]")],
  n: ["Open the form that adds something", () => openForm()],
  r: ["Refresh now", () => page.current()?.refresh()],
  "[": ["Previous page of the list", () => turn("previous")],
  "]": ["Next page of the list", () => turn("next")],
  j: ["Next row", () => step(1)],
  k: ["Previous row", () => step(-1)],
  x: [
    "Tick the row",
    () => document.activeElement.closest("tr")?.querySelector("input[type=checkbox]")?.click(),
  ],
  d: ["Change the theme", () => document.querySelector("[data-theme-button]").click()],
};

/** Listens for keys; `context` has show() and current(). */
export function installShortcuts(context) {
  page = context;
  if (installed) return;
  installed = true;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      if (!document.querySelector("dialog[open]")) openPalette();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (!preference.singleKeys || document.querySelector("dialog[open], .login")) return;
    press(event);
  });
}

function press(event) {
  if (performance.now() < awaiting) {
    awaiting = 0;
    const route = ROUTES.find(({ key, tag }) => key === event.key && (!tag || session.may(tag)));
    if (route) {
      event.preventDefault();
      go(route.path);
    }
    return;
  }
  if (event.key === "g") {
    awaiting = performance.now() + SEQUENCE_MS;
    return;
  }
  const action = KEYS[event.key]?.[1];
  if (!action) return;
  event.preventDefault();
  action();
}

function focusFirst(selector) {
  const element = document.querySelector(`main ${selector}`);
  element?.focus();
  element?.select?.();
}

function openForm() {
  const details = document.querySelector("main [data-new]");
  if (!details) return;
  details.open = true;
  details.scrollIntoView({ block: "nearest" });
}

function turn(which) {
  document.querySelector(`main [data-turn=${which}]:not(:disabled)`)?.click();
}

function step(by) {
  const rows = [...document.querySelectorAll("main tbody tr")];
  const at = rows.indexOf(document.activeElement.closest("tr"));
  const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
  (row?.querySelector("a, summary, button") ?? row?.querySelector("input"))?.focus();
}

/** Shows what every key does, and lets it be switched off. */
export function openHelp() {
  const line = (keys, text) => [
    h(
      "dt",
      null,
      keys.map((key, index) => [index ? " " : "", h("kbd", null, key)]),
    ),
    h("dd", null, text),
  ];
  return open(
    "Keyboard shortcuts",
    (close) => {
      const box = h("input", {
        type: "checkbox",
        checked: preference.singleKeys,
        onchange: () => {
          preference.singleKeys = box.checked;
        },
      });
      return h(
        "div",
        null,
        h(
          "dl",
          { class: "keys" },
          line(["Ctrl K"], "Go to a page, queue or exchange by name"),
          Object.entries(KEYS).map(([key, [text]]) => line([key], text)),
          line(["Esc"], "Close a dialog, clear the filter"),
          line(["Enter"], "In the filter: go to the first row"),
          ROUTES.filter(({ key, tag }) => key && (!tag || session.may(tag))).map(({ key, nav }) =>
            line(["g", key], nav),
          ),
        ),
        h("label", { class: "inline" }, box, "Single-key shortcuts are on"),
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "button", autofocus: true, onclick: () => close() }, "Close"),
        ),
      );
    },
    { wide: true },
  );
}
