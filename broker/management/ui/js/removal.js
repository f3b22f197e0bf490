/* Owns the button at the end of a row that takes away what the row is about, after asking. */

import { remove } from "./api.js";
import { attempt, confirmLoss } from "./dialog.js";
import { h } from "./dom.js";

/**
 * The last column of a table. Options:
 * - `action`: what the button says; `label(row)`: the same with the row's name, for screen readers
 * - `what`, `name(row)`, `loses`: what is asked before, see confirmLoss; `done(row)`: what is said afterwards
 * - `address(row)`: what is deleted; `when(row)`: whether there is a button at all
 */
export function removalColumn({ action, label, what, name, loses, done, address, when }) {
  const ask = async (row, table) => {
    const sure = await confirmLoss({ action, what, name: name(row), loses });
    if (sure && (await attempt(() => remove(address(row)), done(row)))) table.reload();
  };
  return {
    key: "actions",
    label: "",
    numeric: true,
    cell: (row, table) =>
      (when?.(row) ?? true) &&
      h(
        "button",
        {
          type: "button",
          class: "danger",
          "aria-label": label(row),
          onclick: () => ask(row, table),
        },
        action,
      ),
  };
}
