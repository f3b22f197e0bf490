/* Owns forms: fields with label and help, reading their values, and showing what went wrong. */

import { argumentsField } from "./arguments.js";
import { note } from "./dialog.js";
import { freshId, h } from "./dom.js";

/**
 * Makes a form. Options:
 * - `fields`: {name, label, type, value, hint, required, options, when(values)}; type is one of text (the default),
 *   password, number, select, checkbox, area, file and arguments; `options` of a select are texts or {value, label}
 * - `submit`: the text of the button; `onSubmit(values, form)` may throw, the message is shown
 * - `done(values)`: what to say afterwards; the form is then emptied unless `keep`
 * - `cancel()`: makes a button beside the other, for forms in dialogs
 */
export function createForm({ fields, submit, onSubmit, done, keep = false, cancel }) {
  const inputs = fields.map((field) => ({ field, ...makeField(field) }));
  const trouble = h("p", { class: "notice bad", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: "primary" }, submit);
  const read = (which) => Object.fromEntries(which.map((each) => [each.field.name, each.read()]));
  const values = () => read(inputs);
  const showNeeded = () => {
    const now = read(inputs.filter(({ input }) => input)); // arguments may still be incomplete
    for (const { field, element, input } of inputs) {
      if (!field.when) continue;
      element.hidden = !field.when(now);
      if (input) input.disabled = element.hidden;
    }
  };
  const form = h(
    "form",
    {
      class: "form",
      novalidate: true,
      onchange: showNeeded,
      onreset: () =>
        setTimeout(() => {
          inputs.forEach(({ reset }) => reset?.());
          showNeeded();
        }),
      onsubmit: async (event) => {
        event.preventDefault();
        trouble.hidden = true;
        const missing = inputs.find(
          ({ field, input, element }) => field.required && !element.hidden && !input.value,
        );
        if (missing) {
          trouble.textContent = `${missing.field.label} is needed.`;
          trouble.hidden = false;
          missing.input.focus();
          return;
        }
        button.disabled = true;
        try {
          const now = values();
          await onSubmit(now, form);
          if (done) note(done(now));
          if (!keep) form.reset();
        } catch (error) {
          trouble.textContent = error.message;
          trouble.hidden = false;
        } finally {
          button.disabled = false;
        }
      },
    },
    inputs.map(({ element }) => element),
    trouble,
    h(
      "div",
      { class: "buttons" },
      cancel && h("button", { type: "button", onclick: cancel }, "Cancel"),
      button,
    ),
  );
  showNeeded();
  return form;
}

/** A form that stays folded until it is wanted; the shortcut `n` opens the first of a page. */
export function folded(title, form, { open = false } = {}) {
  const details = h(
    "details",
    {
      class: "folded",
      "data-new": true,
      open,
      ontoggle: () =>
        details.open &&
        details.querySelector("input:not([type=hidden]), select, textarea")?.focus(),
    },
    h("summary", null, title),
    form,
  );
  return details;
}

function makeField(field) {
  if (field.type === "arguments") return argumentsField(field);
  const id = freshId(field.name);
  const hintId = field.hint ? `${id}-hint` : null;
  const common = { id, name: field.name, "aria-describedby": hintId, required: field.required };
  const input = makeInput(field, common);
  const hint = field.hint && h("small", { id: hintId }, field.hint);
  if (field.type === "checkbox") {
    return {
      input,
      read: () => input.checked,
      element: h(
        "div",
        { class: "field check" },
        h("label", { for: id }, input, field.label),
        hint,
      ),
    };
  }
  return {
    input,
    read: () => valueOf(field, input),
    element: h("div", { class: "field" }, h("label", { for: id }, field.label), input, hint),
  };
}

function makeInput(field, common) {
  switch (field.type) {
    case "select":
      return h(
        "select",
        common,
        field.options.map((option) => {
          const { value, label } =
            typeof option === "string" ? { value: option, label: option } : option;
          const chosen = value === field.value;
          const element = h("option", { value }, label);
          element.defaultSelected = chosen;
          return element;
        }),
      );
    case "checkbox": {
      const box = h("input", { ...common, type: "checkbox" });
      box.defaultChecked = Boolean(field.value);
      return box;
    }
    case "area":
      return filled(
        h("textarea", { ...common, rows: field.rows ?? 4, spellcheck: "false" }),
        field.value,
      );
    default:
      return filled(
        h("input", {
          ...common,
          type: field.type ?? "text",
          spellcheck: "false",
          accept: field.accept,
          autocomplete: field.autocomplete ?? (field.type === "password" ? "new-password" : "off"),
          list: field.list,
          placeholder: field.placeholder,
        }),
        field.value,
      );
  }
}

/** Sets the value that a reset of the form returns to. */
function filled(input, value) {
  if (value !== undefined && value !== null) input.defaultValue = value;
  return input;
}

function valueOf(field, input) {
  if (field.type === "number") return input.value === "" ? null : Number(input.value);
  if (field.type === "file") return input.files[0] ?? null;
  return input.value;
}
