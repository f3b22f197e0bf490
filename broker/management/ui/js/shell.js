/* Owns what surrounds every page: navigation, choice of virtual host and refresh, theme, logout. */

import { h, update } from "./dom.js";
import { openPalette } from "./palette.js";
import { GROUPS, ROUTES } from "./routes.js";
import { preference, session } from "./session.js";
import { installShortcuts, openHelp } from "./shortcuts.js";

const INTERVALS = [
  [1000, "every second"],
  [5000, "every 5 s"],
  [30000, "every 30 s"],
  [0, "never"],
];
const THEMES = { system: "◐", light: "☀", dark: "☾" };

/** Fills the document and returns {main, mark(route)}; `show` shows the current page again. */
export function createShell({ logout, show, current }) {
  const main = h("main", { id: "main", tabindex: "-1" });
  const links = new Map();
  const nav = navigation(links);
  const menu = h(
    "button",
    {
      type: "button",
      class: "quiet menu-button",
      "aria-expanded": "false",
      "aria-controls": "navigation",
      onclick: () => toggle(menu.getAttribute("aria-expanded") !== "true"),
    },
    "Menu",
  );
  const toggle = (open) => {
    menu.setAttribute("aria-expanded", String(open));
    nav.classList.toggle("open", open);
  };
  document.body.replaceChildren(
    h(
      "a",
      {
        class: "skip",
        href: "#main",
        onclick: (event) => {
          event.preventDefault();
          main.focus();
        },
      },
      "Skip to the page",
    ),
    h(
      "header",
      { class: "top" },
      menu,
      h(
        "a",
        { href: "#/", class: "brand", "aria-label": "Leveret: overview" },
        h("img", { src: "icon.svg", alt: "", width: 24, height: 24 }),
        h("span", null, "Leveret"),
        h("small", null, session.overview?.cluster_name ?? ""),
      ),
      h(
        "button",
        { type: "button", class: "search", onclick: () => openPalette() },
        "Go to…",
        h("kbd", null, "Ctrl K"),
      ),
      h(
        "div",
        { class: "controls" },
        vhostChoice(show),
        refreshChoice(current),
        themeButton(),
        h(
          "button",
          {
            type: "button",
            class: "quiet",
            "aria-label": "Keyboard shortcuts",
            title: "Keyboard shortcuts (?)",
            onclick: openHelp,
          },
          "?",
        ),
        h("span", { class: "who" }, session.user),
        h("button", { type: "button", class: "quiet", onclick: logout }, "Log out"),
      ),
    ),
    nav,
    main,
  );
  installShortcuts({ show, current });
  return {
    main,
    /** Marks where the shown page is in the navigation. */
    mark(route) {
      toggle(false);
      links.forEach((anchor, path) => {
        if (route && (path === route.path || path === route.parent))
          anchor.setAttribute("aria-current", "page");
        else anchor.removeAttribute("aria-current");
      });
    },
  };
}

function navigation(links) {
  const groups = GROUPS.map((title, index) => {
    const routes = ROUTES.filter(
      (route) => route.nav && route.group === index && (!route.tag || session.may(route.tag)),
    );
    if (!routes.length) return null;
    return h(
      "section",
      null,
      h("h2", null, title),
      h(
        "ul",
        null,
        routes.map((route) => {
          const anchor = h("a", { href: `#${route.path}` }, route.nav);
          links.set(route.path, anchor);
          return h("li", null, anchor);
        }),
      ),
    );
  });
  return h(
    "nav",
    { id: "navigation", "aria-label": "Pages" },
    groups,
    h(
      "p",
      { class: "version" },
      `Compatible with RabbitMQ ${session.overview?.rabbitmq_version ?? ""}`,
    ),
  );
}

function vhostChoice(show) {
  const options = () => [
    h("option", { value: "" }, "All virtual hosts"),
    session.vhosts.map((name) => h("option", { value: `=${name}` }, name)),
  ];
  const select = h(
    "select",
    {
      "aria-label": "Virtual host",
      class: "vhost",
      onchange: () => {
        preference.vhost = select.value.slice(1);
        show();
      },
    },
    options(),
  );
  const sync = () => {
    update(select, options());
    select.value = preference.vhost ? `=${preference.vhost}` : "";
  };
  sync();
  document.addEventListener("vhosts", sync);
  return select;
}

function refreshChoice(current) {
  const select = h(
    "select",
    {
      "aria-label": "Refresh",
      title: "How often the page is refreshed",
      onchange: () => {
        preference.refreshMs = Number(select.value);
        current()?.refresh();
      },
    },
    INTERVALS.map(([ms, text]) =>
      h("option", { value: ms, selected: ms === preference.refreshMs }, text),
    ),
  );
  return h("label", { class: "inline refresh" }, h("span", null, "Refresh"), select);
}

function themeButton() {
  const button = h("button", {
    type: "button",
    class: "quiet",
    "data-theme-button": true,
    onclick: () => {
      window.theme.next();
      label();
    },
  });
  const label = () => {
    const theme = window.theme.chosen();
    button.textContent = THEMES[theme];
    button.title = `Theme: ${theme}`;
    button.setAttribute("aria-label", `Theme: ${theme}. Change it`);
  };
  label();
  return button;
}
