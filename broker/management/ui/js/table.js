/* Owns every list of the page: paging, sorting, filtering, choosing columns and rows.
 *
 * Invariants:
 * - Only one page of rows is ever fetched or shown, so a list of 10,000 queues costs as much as one of 50.
 * - A refresh changes the cells that differ and nothing else: focus and selection stay. */

import { debounce, h, update } from "./dom.js";
import { count, plural, plurals } from "./format.js";
import { createPager } from "./pager.js";
import { location, setOptions } from "./router.js";
import { preference } from "./session.js";

const SHORT = 10;

/**
 * Makes a table. Options:
 * - `id`, `caption`, `noun`: for preferences, for screen readers, for "1 to 50 of 812 queues"
 * - `columns`: {key, label, cell(row, table), sort?, numeric?, optional?, narrow?}; `sort` is the field that
 *   the server sorts by, `optional` hides the column until chosen, `narrow: false` drops it on phones
 * - `source(query, signal)` -> {rows, total, filtered, page, pages}; see sources.js
 * - `rowKey(row)`, `empty`: what to say where there is nothing; `selectable`; `onSelect(rows)`
 * - `inAddress`: keep page, filter and order in the address (one table of a page may)
 * - `driven`: the rows come with what the page fetches anyway; it calls reload() when it has them
 * - `filterBy`: what the filter compares, if it is not the name
 * - `bare`: a short list as it is, nothing to filter, count or choose
 */
export function createTable(view, options) {
  return new Table(view, options);
}

class Table {
  #rows = [];
  #selected = new Map();
  #answer = null;

  constructor(view, options) {
    this.view = view;
    this.options = {
      noun: "row",
      filterBy: "name",
      bare: false,
      sort: "",
      reverse: false,
      ...options,
    };
    const given = options.inAddress ? location().options : new URLSearchParams();
    this.query = {
      page: Number(given.get("page")) || 1,
      size: preference.pageSize,
      name: given.get("name") ?? "",
      regex: given.has("regex"),
      sort: given.get("sort") ?? this.options.sort,
      reverse: given.has("sort") ? given.has("reverse") : this.options.reverse,
    };
    this.hidden = preference.hiddenColumns(
      options.id,
      options.columns.filter((column) => column.optional).map((column) => column.key),
    );
    this.#build();
    /** Fetches the rows again, and nothing else of the page. */
    this.reload = view.schedule(
      (signal) => this.#load(signal),
      options.driven ? () => 0 : undefined,
    );
    this.ready = this.reload();
  }

  /** The rows that are ticked, also those of other pages. */
  get selected() {
    return [...this.#selected.values()];
  }

  clearSelection() {
    this.#selected.clear();
    this.#show();
  }

  #build() {
    const { caption, noun, bare } = this.options;
    this.head = h("tr", { role: "row" });
    this.body = h("tbody", { role: "rowgroup" });
    this.position = h("span", { class: "position", role: "status" });
    this.pager = createPager((changes) => this.#ask(changes));
    this.emptiness = h("div", { class: "empty", hidden: true });
    this.table = h(
      "table",
      { role: "table", class: "list", hidden: true },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, this.head),
      this.body,
    );
    this.bar = h(
      "div",
      { class: "listing-bar", hidden: bare },
      this.#filter(noun),
      this.position,
      this.#columnPicker(),
    );
    this.element = h(
      "section",
      { class: "listing", "aria-label": caption },
      this.bar,
      this.table,
      this.emptiness,
      this.pager.element,
    );
    this.#showHead();
  }

  #filter(noun) {
    const label = `Filter ${plurals(noun)} by ${this.options.filterBy}`;
    const input = h("input", {
      type: "search",
      class: "filter",
      value: this.query.name,
      placeholder: label,
      "aria-label": label,
      "data-filter": true,
      spellcheck: "false",
      oninput: debounce(250, () => this.#ask({ name: input.value, page: 1 })),
      onkeydown: async (event) => {
        if (event.key !== "Enter") return;
        await this.#ask({ name: input.value, page: 1 });
        this.body.querySelector("a, button")?.focus();
      },
    });
    const regex = h("input", {
      type: "checkbox",
      checked: this.query.regex,
      onchange: () => this.#ask({ regex: regex.checked, page: 1 }),
    });
    return [input, h("label", { class: "inline" }, regex, "Regular expression")];
  }

  #columnPicker() {
    const choices = this.options.columns
      .slice(1)
      .filter((column) => column.label)
      .map((column) => {
        const box = h("input", {
          type: "checkbox",
          checked: !this.hidden.has(column.key),
          onchange: () => {
            this.hidden[box.checked ? "delete" : "add"](column.key);
            preference.hideColumns(this.options.id, this.hidden);
            this.#showHead();
            this.#show();
          },
        });
        return h("label", { class: "inline" }, box, column.label);
      });
    if (choices.length < 4) return null;
    return h(
      "details",
      { class: "columns" },
      h("summary", null, "Columns"),
      h("div", { class: "menu" }, choices),
    );
  }

  #ask(changes) {
    Object.assign(this.query, changes);
    if (this.options.inAddress) {
      const { page, name, regex, sort, reverse } = this.query;
      setOptions({
        page: page > 1 ? page : "",
        name,
        regex,
        sort,
        reverse: Boolean(sort) && reverse,
      });
    }
    return this.reload();
  }

  async #load(signal) {
    const answer = await this.options.source(this.query, signal);
    if (signal.aborted) return;
    this.#answer = answer;
    this.query.page = answer.page;
    this.#rows = answer.rows;
    this.#show();
  }

  get #columns() {
    return this.options.columns.filter((column) => !this.hidden.has(column.key));
  }

  #showHead() {
    const cells = this.#columns.map((column) =>
      h(
        "th",
        {
          role: "columnheader",
          scope: "col",
          class: classes(column),
          "aria-sort":
            column.sort && this.query.sort === column.sort
              ? this.query.reverse
                ? "descending"
                : "ascending"
              : null,
        },
        column.sort
          ? this.#sorter(column)
          : column.label || h("span", { class: "unseen" }, "Actions"),
      ),
    );
    if (this.options.selectable)
      cells.unshift(h("th", { role: "columnheader", class: "tick" }, this.#tickAll()));
    update(this.head, cells);
  }

  #sorter(column) {
    const current = this.query.sort === column.sort;
    return h(
      "button",
      {
        type: "button",
        class: "sorter",
        onclick: () => {
          // The first click on a number shows the largest first: that is what one looks for.
          const again = this.query.sort === column.sort;
          this.#ask({
            sort: column.sort,
            reverse: again ? !this.query.reverse : Boolean(column.numeric),
            page: 1,
          });
          this.#showHead();
        },
      },
      column.label,
      h("span", { "aria-hidden": "true" }, current ? (this.query.reverse ? " ↓" : " ↑") : ""),
    );
  }

  #tickAll() {
    const box = h("input", {
      type: "checkbox",
      "aria-label": "Select all rows of this page",
      onchange: () => {
        for (const row of this.#rows) {
          if (box.checked) this.#selected.set(this.options.rowKey(row), row);
          else this.#selected.delete(this.options.rowKey(row));
        }
        this.#show();
      },
    });
    return box;
  }

  #show() {
    if (!this.#answer) return;
    const { rowKey, empty, onSelect } = this.options;
    const old = new Map([...this.body.children].map((tr) => [tr.dataset.key, tr]));
    let place = this.body.firstChild;
    for (const row of this.#rows) {
      const key = rowKey(row);
      const tr = old.get(key) ?? h("tr", { role: "row", "data-key": key });
      old.delete(key);
      update(tr, this.#cells(row, key));
      if (tr === place) place = place.nextSibling;
      else this.body.insertBefore(tr, place);
    }
    old.forEach((tr) => tr.remove());
    const { total, filtered } = this.#answer;
    this.table.hidden = !this.#rows.length;
    // What can be taken in at a glance needs no controls, unless the list is what the page is for.
    this.bar.hidden =
      this.options.bare || (!this.options.inAddress && total <= SHORT && !this.query.name);
    this.emptiness.hidden = Boolean(this.#rows.length);
    if (!this.#rows.length) {
      const nothing =
        this.query.name && total
          ? h(
              "p",
              null,
              `Nothing matches “${this.query.name}” among ${plural(total, this.options.noun)}.`,
            )
          : empty;
      update(this.emptiness, typeof nothing === "string" ? h("p", null, nothing) : nothing);
    }
    this.#showPosition(total, filtered);
    this.pager.show(this.#answer, this.query.size);
    onSelect?.(this.selected);
  }

  #cells(row, key) {
    const cells = this.#columns.map((column, index) =>
      h(
        "td",
        {
          role: "cell",
          class: classes(column),
          "data-label": index ? column.label : null,
        },
        column.cell(row, this),
      ),
    );
    if (this.options.selectable)
      cells.unshift(h("td", { role: "cell", class: "tick" }, this.#tick(row, key)));
    return cells;
  }

  #tick(row, key) {
    const name = this.options.columns[0].cell(row).textContent ?? key;
    const checked = this.#selected.has(key);
    if (checked) this.#selected.set(key, row);
    const box = h("input", {
      type: "checkbox",
      "aria-label": `Select ${name}`,
      checked,
      "data-checked": checked,
      onchange: () => {
        if (box.checked) this.#selected.set(key, row);
        else this.#selected.delete(key);
        this.options.onSelect?.(this.selected);
      },
    });
    return box;
  }

  #showPosition(total, filtered) {
    const { page, pages } = this.#answer;
    const { noun } = this.options;
    const first = (page - 1) * this.query.size + 1;
    const last = first + this.#rows.length - 1;
    const all =
      filtered === total ? plural(total, noun) : `${count(filtered)} of ${plural(total, noun)}`;
    const text =
      this.#rows.length && pages > 1 ? `${count(first)} to ${count(last)} of ${all}` : all;
    if (this.position.textContent !== text) this.position.textContent = text;
  }
}

function classes(column) {
  return (
    [column.numeric && "number", column.narrow === false && "wide-only"]
      .filter(Boolean)
      .join(" ") || null
  );
}
