/* Owns dialogs and short notes: asking before something is lost, and saying that it is done.
 *
 * Invariant: what destroys something is asked for with its name; what cannot be made again by
 * declaring it anew (messages, a virtual host) needs the name typed. */

import { freshId, h } from "./dom.js";

const REASON_MAX = 60;

/** Opens a modal dialog; `fill(close)` gives its content. Resolves with what `close` was given. */
export function open(title, fill, { wide = false } = {}) {
  return new Promise((resolve) => {
    const id = freshId("dialog");
    let result;
    const close = (value) => {
      result = value;
      dialog.close();
    };
    const dialog = h(
      "dialog",
      { "aria-labelledby": id, class: wide ? "wide" : null },
      h("h2", { id }, title),
      fill(close),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * Asks before destroying `name`; resolves to {reason} once confirmed. With `typed`, the name must be;
 * with `reason`, the label of a field for one, whoever confirms may give it.
 */
export function confirmLoss({ action, what, name, loses, typed = false, reason }) {
  return open(`${action} ${what}?`, (close) => {
    const button = h("button", { class: "danger", disabled: typed }, action);
    const id = freshId("name");
    const input = h("input", {
      id,
      autocomplete: "off",
      spellcheck: "false",
      maxlength: typed ? null : REASON_MAX,
      oninput: () => {
        if (typed) button.disabled = input.value !== name;
      },
    });
    const label = typed ? "Type the name to confirm" : reason;
    return h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          if (!button.disabled) close({ reason: typed ? "" : input.value });
        },
      },
      h("p", { class: "named" }, h("code", null, name === "" ? "(default)" : name)),
      loses && h("p", null, loses),
      label && h("div", { class: "field" }, h("label", { for: id }, label), input),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "button", autofocus: !label, onclick: () => close(false) }, "Keep it"),
        button,
      ),
    );
  });
}

const notes = h("div", { class: "notes", role: "status", "aria-live": "polite" });

/** Says in passing that something worked or did not. */
export function note(text, kind = "good") {
  if (!notes.isConnected) document.body.append(notes);
  const line = h("p", { class: kind }, text);
  notes.append(line);
  setTimeout(() => line.remove(), kind === "bad" ? 12000 : 5000);
}

/** Runs something a button asked for; says how it went. Resolves to true if it worked. */
export async function attempt(work, done) {
  try {
    const result = await work();
    const text = typeof done === "function" ? done(result) : done;
    if (text) note(text);
    return true;
  } catch (error) {
    note(error.message, "bad");
    return false;
  }
}
