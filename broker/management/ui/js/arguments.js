/* Owns the editor for tables of arguments: known ones with an explanation, others typed freely. */

import { ApiError } from "./api.js";
import { freshId, h } from "./dom.js";

const TYPES = ["text", "number", "true or false", "JSON"];

/**
 * Makes a field whose value is an object. `field.known` lists {key, type, help, options?}; anything
 * else can be added by its key. `field.value` is what it starts with.
 */
export function argumentsField(field) {
  const rows = h("div", { class: "arguments" });
  const id = freshId("argument");
  const choice = h(
    "select",
    {
      id,
      onchange: () => {
        if (!choice.value) return;
        const known = field.known?.find(({ key }) => key === choice.value);
        const row = addRow(rows, known ?? { key: "", type: "text" });
        choice.value = "";
        row.querySelector(known ? ".value" : ".key").focus();
      },
    },
    h("option", { value: "" }, "Choose one to add"),
    (field.known ?? []).map(({ key }) => h("option", { value: key }, key)),
    h("option", { value: "+" }, "Another…"),
  );
  const fill = () => {
    rows.replaceChildren();
    for (const [key, value] of Object.entries(field.value ?? {})) {
      const known = field.known?.find((one) => one.key === key);
      addRow(rows, known ?? { key, type: typeOf(value) }, value);
    }
  };
  fill();
  return {
    input: null,
    reset: fill,
    read: () => Object.fromEntries([...rows.children].map(readRow).filter(([key]) => key)),
    element: h(
      "div",
      { class: "field" },
      h("label", { for: id }, field.label),
      rows,
      choice,
      field.hint && h("small", null, field.hint),
    ),
  };
}

function typeOf(value) {
  if (typeof value === "string") return "text";
  if (typeof value === "number") return "number";
  return typeof value === "boolean" ? "true or false" : "JSON";
}

function addRow(rows, { key, type, help, options }, value) {
  const name = h("input", {
    class: "key",
    value: key,
    "aria-label": "Key",
    readonly: Boolean(key),
    spellcheck: "false",
  });
  const kind = h(
    "select",
    { class: "type", "aria-label": `Type of ${key || "the value"}`, hidden: Boolean(help) },
    TYPES.map((each) => h("option", { value: each, selected: each === type }, each)),
  );
  const choices = options ?? (help && type === "true or false" ? ["true", "false"] : null);
  const entry = choices
    ? h(
        "select",
        { class: "value", "aria-label": `Value of ${key}` },
        choices.map((choice) =>
          h("option", { value: choice, selected: choice === String(value) }, choice),
        ),
      )
    : h("input", {
        class: "value",
        "aria-label": `Value of ${key || "the key"}`,
        spellcheck: "false",
        value: value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value),
      });
  const row = h(
    "div",
    { class: "argument" },
    name,
    entry,
    kind,
    h(
      "button",
      {
        type: "button",
        class: "quiet",
        "aria-label": `Remove ${key || "this argument"}`,
        onclick: () => row.remove(),
      },
      "×",
    ),
    help && h("small", null, help),
  );
  rows.append(row);
  return row;
}

function readRow(row) {
  const key = row.querySelector(".key").value.trim();
  const text = row.querySelector(".value").value;
  switch (row.querySelector(".type").value) {
    case "number":
      if (text.trim() === "" || !Number.isFinite(Number(text)))
        throw new ApiError(0, `${key} needs a number.`);
      return [key, Number(text)];
    case "true or false":
      if (text !== "true" && text !== "false") throw new ApiError(0, `${key} needs true or false.`);
      return [key, text === "true"];
    case "JSON":
      try {
        return [key, JSON.parse(text)];
      } catch {
        throw new ApiError(0, `${key} needs valid JSON, such as ["a", 1].`);
      }
    default:
      return [key, text];
  }
}
