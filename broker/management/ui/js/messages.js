/* Owns looking into a queue: peek, search, and move, retry or delete what is ticked.
 *
 * Invariant: looking changes nothing, not even the redelivered flag; only the buttons do. */

import { get, path, post } from "./api.js";
import { attempt, confirmLoss, note, open } from "./dialog.js";
import { freshId, h } from "./dom.js";
import { count, plural } from "./format.js";
import { createForm } from "./form.js";
import { contents, headline, TRUNCATE_BYTES } from "./message.js";
import { download } from "./parts.js";

const PAGE = 50;

/** The part of a queue's page that shows its messages. */
export function messageBrowser(view, { vhost, name }) {
  return new Browser(view, vhost, name).element;
}

class Browser {
  #messages = [];
  #ticked = new Set();
  #next = 0;

  constructor(view, vhost, name) {
    this.view = view;
    this.vhost = vhost;
    this.address = path`/queues/${vhost}/${name}`;
    this.name = name;
    this.list = h("ol", { class: "messages" });
    this.position = h("span", { class: "position", role: "status" });
    this.more = h(
      "button",
      { type: "button", hidden: true, onclick: () => this.#fetch() },
      "Show more",
    );
    this.element = h(
      "div",
      { class: "browser" },
      this.#bar(),
      (this.actions = this.#actions()),
      this.list,
      this.more,
    );
    this.position.textContent =
      "Looking does not change anything: messages stay where they are, and are not marked as redelivered.";
  }

  #bar() {
    this.search = h("input", {
      type: "search",
      class: "filter",
      "aria-label": "Search in messages",
      spellcheck: "false",
      placeholder: "Search payload, key, headers",
    });
    this.regex = h("input", { type: "checkbox" });
    const held = h("button", { type: "button", onclick: () => this.#showHeld() }, "Unacknowledged");
    held.title = "What consumers hold: which of them, and since when";
    return h(
      "form",
      {
        class: "listing-bar",
        onsubmit: (event) => {
          event.preventDefault();
          this.#begin();
        },
      },
      h("button", { type: "submit", class: "primary" }, "Look at messages"),
      this.search,
      h("label", { class: "inline" }, this.regex, "Regular expression"),
      held,
      this.position,
    );
  }

  #actions() {
    const button = (text, onclick, kind) =>
      h("button", { type: "button", class: kind, onclick }, text);
    this.all = h("input", { type: "checkbox", onchange: () => this.#tickAll(this.all.checked) });
    this.chosen = h("span", { class: "position" });
    return h(
      "div",
      { class: "actions message-actions", hidden: true },
      h("label", { class: "inline" }, this.all, "All shown"),
      this.chosen,
      button("Retry", () => this.#retry()),
      button("Move to…", () => this.#move()),
      button("Save as JSON", () => this.#save()),
      button("Delete", () => this.#delete(), "danger"),
    );
  }

  #begin() {
    this.#clear();
    return this.#fetch();
  }

  #clear() {
    this.#messages = [];
    this.#ticked.clear();
    this.#next = 0;
    this.list.replaceChildren();
    this.#showChosen();
  }

  /** Waits for what is looked up; undefined if it failed, which is then said. */
  async #ask(answer) {
    this.position.textContent = "Looking…";
    try {
      return await answer;
    } catch (error) {
      if (error.name !== "AbortError") this.position.textContent = error.message;
      return undefined;
    }
  }

  async #fetch() {
    const { search } = this;
    const query = {
      offset: this.#next,
      count: PAGE,
      encoding: "auto",
      truncate: TRUNCATE_BYTES,
      ...(search.value && { search: search.value, regex: this.regex.checked }),
    };
    const answer = await this.#ask(post(`${this.address}/peek`, query, this.view.signal));
    if (!answer) return;
    this.#next = answer.next_offset;
    this.#messages.push(...answer.messages);
    this.list.append(...answer.messages.map((message) => this.#item(message)));
    this.more.hidden = answer.next_offset === null;
    this.more.textContent = search.value ? "Search on" : "Show more";
    this.position.textContent = this.#found(answer, search.value);
    this.#showChosen();
  }

  /** Shows what consumers hold; that is theirs, so there is nothing to do with it here. */
  async #showHeld() {
    this.#clear();
    this.more.hidden = true;
    const answer = await this.#ask(
      get(`${this.address}/unacked`, { count: PAGE, truncate: TRUNCATE_BYTES }, this.view.signal),
    );
    if (!answer) return;
    const { messages, total } = answer;
    this.list.append(...messages.map((message) => h("li", null, this.#folded(message))));
    this.position.textContent = total
      ? `${count(messages.length)} of ${plural(total, "unacknowledged message")}, the one held longest first.`
      : "No message is unacknowledged.";
  }

  #found({ total, next_offset: next }, search) {
    const shown = this.#messages.length;
    const seen = next === null ? total : next;
    if (search)
      return `${plural(shown, "match")} among the first ${count(seen)} of ${plural(total, "ready message")}.`;
    return total
      ? `The first ${count(shown)} of ${plural(total, "ready message")}.`
      : "No message is ready: there is nothing to look at.";
  }

  #item(message) {
    const box = h("input", {
      type: "checkbox",
      "aria-label": `Select message ${message.position + 1}`,
      onchange: () => {
        if (box.checked) this.#ticked.add(message.id);
        else this.#ticked.delete(message.id);
        this.#showChosen();
      },
    });
    return h("li", { "data-id": message.id }, box, this.#folded(message));
  }

  #folded(message) {
    const details = h(
      "details",
      {
        ontoggle: () => {
          if (details.open && details.children.length === 1)
            details.append(contents(this.vhost, message));
        },
      },
      h("summary", null, headline(message)),
    );
    return details;
  }

  #tickAll(on) {
    this.list.querySelectorAll("li > input").forEach((box) => {
      box.checked = on;
    });
    this.#ticked = new Set(on ? this.#messages.map(({ id }) => id) : []);
    this.#showChosen();
  }

  #showChosen() {
    this.actions.hidden = !this.#messages.length;
    this.all.checked = this.#messages.length > 0 && this.#ticked.size === this.#messages.length;
    this.chosen.textContent = this.#ticked.size
      ? `${count(this.#ticked.size)} selected`
      : "Select messages to act on them";
    this.actions.querySelectorAll("button").forEach((button) => {
      button.disabled = !this.#ticked.size;
    });
  }

  async #retry() {
    const sure = await open("Retry messages?", (close) =>
      h(
        "form",
        {
          onsubmit: (event) => {
            event.preventDefault();
            close(true);
          },
        },
        h(
          "p",
          null,
          `${plural(this.#ticked.size, "message")} will go back to where they were dead-lettered from, as their x-death header says. Those without one stay here.`,
        ),
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "button", onclick: () => close(false) }, "Cancel"),
          h("button", { class: "primary", autofocus: true }, "Retry"),
        ),
      ),
    );
    if (sure) await this.#send({ redrive: true });
  }

  async #move() {
    const suggestions = await this.#queueNames();
    const destination = await open("Move messages", (close) => {
      const form = createForm({
        submit: "Move",
        cancel: () => close(),
        fields: [
          {
            name: "to",
            label: "To",
            type: "select",
            options: [
              { value: "queue", label: "a queue" },
              { value: "exchange", label: "an exchange, to be routed" },
            ],
          },
          {
            name: "queue",
            label: "Name of the queue",
            required: true,
            when: ({ to }) => to === "queue",
            list: suggestions.id,
          },
          {
            name: "exchange",
            label: "Name of the exchange",
            required: true,
            when: ({ to }) => to === "exchange",
          },
          {
            name: "key",
            label: "Routing key",
            when: ({ to }) => to === "exchange",
            hint: "Leave it empty to keep each message's own.",
          },
        ],
        onSubmit: ({ to, queue, exchange, key }) =>
          close(to === "queue" ? { queue } : { exchange, ...(key && { routing_key: key }) }),
      });
      return [form, suggestions];
    });
    if (destination) await this.#send(destination);
  }

  /** The names of some queues, for the browser to complete. */
  async #queueNames() {
    const query = { page: 1, page_size: 100, pagination: "true", columns: "name", sort: "name" };
    const { items } = await get(path`/queues/${this.vhost}`, query).catch(() => ({ items: [] }));
    return h(
      "datalist",
      { id: freshId("queues") },
      items.map(({ name }) => h("option", { value: name })),
    );
  }

  async #send(destination) {
    const ids = [...this.#ticked];
    await attempt(
      () => post(`${this.address}/move`, { ids, destination }),
      ({ moved, unroutable, missing }) => {
        if (unroutable)
          note(`${plural(unroutable, "message")} stayed: nothing takes them there.`, "bad");
        if (missing)
          note(`${plural(missing, "message")} had been taken by a consumer meanwhile.`, "bad");
        return moved ? `${plural(moved, "message")} moved.` : "";
      },
    );
    await this.#again();
  }

  async #delete() {
    const sure = await confirmLoss({
      action: "Delete",
      what: plural(this.#ticked.size, "message"),
      name: this.name,
      loses: "They are gone for good, and are not dead-lettered.",
    });
    if (!sure) return;
    await attempt(
      () => post(`${this.address}/delete-messages`, { ids: [...this.#ticked] }),
      ({ deleted, missing }) =>
        `${plural(deleted, "message")} deleted${missing ? `; ${count(missing)} had been taken by a consumer` : ""}.`,
    );
    await this.#again();
  }

  async #again() {
    await Promise.all([this.#begin(), this.view.refresh()]);
    // What was pressed may have gone with the messages.
    if (!document.activeElement.checkVisibility() || document.activeElement === document.body)
      this.element.querySelector("button[type=submit]").focus();
  }

  #save() {
    const chosen = this.#messages.filter(({ id }) => this.#ticked.has(id));
    download("messages.json", JSON.stringify(chosen, null, 2));
  }
}
