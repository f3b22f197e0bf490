/* Owns the quick search: pages, queues and exchanges by name, from anywhere. */

import { get } from "./api.js";
import { open } from "./dialog.js";
import { debounce, h } from "./dom.js";
import { go, link } from "./router.js";
import { ROUTES } from "./routes.js";
import { session } from "./session.js";

const FOUND_MAX = 8;

/** Opens the search; the chosen entry is gone to. */
export async function openPalette() {
  const chosen = await open("Go to", (close) => new Palette(close).element);
  if (chosen) go(chosen);
}

class Palette {
  #entries = [];
  #at = 0;
  #asked = 0;

  constructor(close) {
    this.close = close;
    this.list = h("ul", { id: "palette-list", role: "listbox", "aria-label": "Results" });
    this.input = h("input", {
      type: "text",
      role: "combobox",
      "aria-label": "Page, queue or exchange",
      "aria-controls": "palette-list",
      "aria-expanded": "true",
      "aria-autocomplete": "list",
      autocomplete: "off",
      spellcheck: "false",
      autofocus: true,
      placeholder: "Page, queue or exchange",
      onkeydown: (event) => this.#key(event),
      oninput: () => {
        this.#show(this.#pages());
        this.#lookUp();
      },
    });
    this.element = h("div", { class: "palette" }, this.input, this.list);
    this.#lookUp = debounce(150, () => this.#search());
    this.#show(this.#pages());
  }

  #lookUp;

  #pages() {
    const words = this.input.value.toLowerCase();
    return ROUTES.filter(
      ({ nav, tag }) => nav && (!tag || session.may(tag)) && nav.toLowerCase().includes(words),
    ).map(({ nav, path }) => ({ kind: "page", text: nav, address: path }));
  }

  async #search() {
    const name = this.input.value;
    if (!name) return;
    this.#asked += 1;
    const mine = this.#asked;
    const query = {
      name,
      page: 1,
      page_size: FOUND_MAX,
      pagination: "true",
      columns: "name,vhost",
    };
    const none = { items: [] };
    const [queues, exchanges] = await Promise.all([
      get("/queues", query).catch(() => none),
      get("/exchanges", query).catch(() => none),
    ]);
    if (mine !== this.#asked) return;
    const entries = (items, kind) =>
      items.map((item) => ({
        kind,
        text: item.name || "(default)",
        vhost: item.vhost,
        address: link`/${kind}s/${item.vhost}/${item.name || "amq.default"}`.slice(1),
      }));
    this.#show([
      ...this.#pages(),
      ...entries(queues.items, "queue"),
      ...entries(exchanges.items, "exchange"),
    ]);
  }

  #show(entries) {
    this.#entries = entries;
    this.#at = 0;
    this.list.replaceChildren(
      ...entries.map((entry, index) =>
        h(
          "li",
          {
            role: "option",
            id: `palette-${index}`,
            onclick: () => this.close(entry.address),
          },
          h("span", { class: "kind" }, entry.kind),
          h("span", { class: "text" }, entry.text),
          entry.vhost !== undefined && session.vhosts.length > 1 && h("small", null, entry.vhost),
        ),
      ),
    );
    if (!entries.length)
      this.list.append(
        h(
          "li",
          { role: "option", "aria-disabled": "true", class: "nothing" },
          "Nothing has this in its name.",
        ),
      );
    this.#mark();
  }

  #mark() {
    [...this.list.children].forEach((item, index) =>
      item.setAttribute("aria-selected", String(index === this.#at)),
    );
    this.input.setAttribute("aria-activedescendant", `palette-${this.#at}`);
    this.list.children[this.#at]?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by && this.#entries.length) {
      event.preventDefault();
      this.#at = (this.#at + by + this.#entries.length) % this.#entries.length;
      this.#mark();
    }
    if (event.key === "Enter" && this.#entries[this.#at]) {
      event.preventDefault();
      this.close(this.#entries[this.#at].address);
    }
  }
}
