/* Owns the controls below a table: which page, and how many rows of it. */

import { freshId, h } from "./dom.js";
import { count } from "./format.js";
import { preference } from "./session.js";

const SIZES = [20, 50, 100, 500];

/** Makes the controls; `ask` is called with the changes to the query. Gives {element, show}. */
export function createPager(ask) {
  const element = h("div", { class: "pager" });
  let shown = "";

  const turn = (label, key, to, pages) =>
    h(
      "button",
      {
        type: "button",
        disabled: to < 1 || to > pages,
        "data-turn": key,
        onclick: () => ask({ page: to }),
      },
      label,
    );

  const sizes = (size) => {
    const id = freshId("size");
    const select = h(
      "select",
      {
        id,
        onchange: () => {
          preference.pageSize = Number(select.value);
          ask({ size: preference.pageSize, page: 1 });
        },
      },
      SIZES.map((each) => h("option", { value: each, selected: each === size }, each)),
    );
    return [h("label", { for: id }, "Rows"), select];
  };

  const show = ({ page, pages, total }, size) => {
    element.hidden = pages <= 1 && total <= SIZES[0];
    if (shown === `${page}/${pages}/${size}`) return; // its controls keep the focus
    shown = `${page}/${pages}/${size}`;
    const focused = element.querySelector(":focus")?.dataset.turn;
    element.replaceChildren(
      turn("Previous", "previous", page - 1, pages),
      h("span", null, `Page ${count(page)} of ${count(pages)}`),
      turn("Next", "next", page + 1, pages),
      ...sizes(size),
    );
    if (focused) element.querySelector(`[data-turn=${focused}]`).focus();
  };

  return { element, show };
}
