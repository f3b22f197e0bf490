/* Owns the life of one page: its element, its title, and what it fetches again and again.
 *
 * Invariants:
 * - After close() nothing of the page runs or fetches.
 * - One fetch of a poll is under way at a time; a hidden tab fetches nothing. */

import { h } from "./dom.js";
import { preference } from "./session.js";

export class View {
  #polls = [];
  #controller = new AbortController();
  #shown = false;
  #trouble = h("p", { class: "notice bad", role: "alert", hidden: true });

  constructor(root) {
    this.root = root;
    root.replaceChildren(this.#trouble);
    root.classList.remove("missing");
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh(), {
      signal: this.signal,
    });
  }

  get signal() {
    return this.#controller.signal;
  }

  close() {
    this.#controller.abort();
    this.#polls.forEach((poll) => clearTimeout(poll.timer));
  }

  /** Adds elements below what the page has so far. */
  add(...elements) {
    // The page may have been left while it waited for what it is about to show.
    if (!this.signal.aborted) this.root.append(...elements.flat().filter(Boolean));
  }

  /** Shows the heading of the page, with an optional kind above it and buttons beside it. */
  heading(title, { kind, actions = [], hint } = {}) {
    document.title = `${title} · Leveret`;
    const heading = h("h1", { tabindex: "-1" }, title);
    this.add(
      h(
        "header",
        { class: "page-head" },
        h(
          "div",
          null,
          kind && h("p", { class: "kind" }, kind),
          heading,
          hint && h("p", { class: "hint" }, hint),
        ),
        actions.length ? h("div", { class: "actions" }, actions) : null,
      ),
    );
    return heading;
  }

  /** Runs `work(signal)` now and after every refresh interval; resolves after the first run. */
  poll(work, intervalMs) {
    return this.schedule(work, intervalMs)();
  }

  /** The same, but first when the function that it gives is called, and again with every call. */
  schedule(work, intervalMs = () => preference.refreshMs) {
    const poll = { work, intervalMs, timer: 0, running: null };
    this.#polls.push(poll);
    return () => this.#run(poll);
  }

  /** Fetches everything again now. */
  refresh() {
    return Promise.all(this.#polls.map((poll) => this.#run(poll)));
  }

  async #run(poll) {
    if (this.signal.aborted) return;
    clearTimeout(poll.timer);
    // What was under way may have missed a change just made: ask once more behind it.
    while (poll.running) await poll.running.catch(() => {});
    clearTimeout(poll.timer);
    if (this.signal.aborted) return;
    poll.running = poll.work(this.signal);
    try {
      await poll.running;
      this.#shown = true;
      this.#trouble.hidden = true;
    } catch (error) {
      if (this.signal.aborted) return;
      if (!error.status && error.status !== 0) console.error(error);
      this.#trouble.textContent = error.message;
      this.#trouble.hidden = false;
      // A page about something that is not there has nothing else to say.
      if (!this.#shown) this.root.classList.add("missing");
    } finally {
      poll.running = null;
    }
    const ms = poll.intervalMs();
    if (ms && !this.signal.aborted) {
      poll.timer = setTimeout(() => {
        if (!document.hidden) this.#run(poll);
      }, ms);
    }
  }
}
