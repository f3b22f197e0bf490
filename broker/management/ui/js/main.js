/* Owns the start: login or page, and which page is shown for the current address. */

import { credentials } from "./api.js";
import { h } from "./dom.js";
import { loginPage, waitingPage } from "./login.js";
import { location, match } from "./router.js";
import { ROUTES } from "./routes.js";
import { session } from "./session.js";
import { createShell } from "./shell.js";
import { View } from "./view.js";

let shell = null;
let view = null;
let turn = 0;

/** Logs in with what is known, or asks for it. */
async function start(trouble) {
  view?.close();
  shell = null;
  if (!credentials.known) return loginPage(start, trouble);
  try {
    await session.open();
  } catch (error) {
    // A broker that is just being restarted is no reason to ask for the password again.
    if (error.status !== 401) return waitingPage(start, error.message);
    credentials.forget();
    return loginPage(start, error.message);
  }
  shell = createShell({ logout, show, current: () => view });
  return show();
}

function logout() {
  credentials.forget();
  start();
}

/** Shows the page of the current address; a click made while it loads wins over it. */
async function show() {
  if (!shell) return;
  turn += 1;
  const mine = turn;
  const { pathname } = location();
  const found = match(ROUTES, pathname);
  view?.close();
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  view = new View(shell.main);
  shell.mark(found?.route);
  if (!found) return nowhere(pathname);
  const shown = view;
  try {
    const page = await found.route.load();
    if (mine !== turn) return;
    await page.show(shown, found.params);
  } catch (error) {
    if (error.name === "AbortError" || mine !== turn) return;
    if (error.status === undefined) console.error(error);
    if (!shown.root.querySelector("h1"))
      shown.heading(Object.values(found.params).at(-1) ?? found.route.nav);
    shown.add(
      h("p", { class: "notice bad", role: "alert" }, error.message),
      found.route.parent &&
        h("p", null, h("a", { href: `#${found.route.parent}` }, "Back to the list")),
    );
  }
}

function nowhere(pathname) {
  view.heading("No such page");
  view.add(
    h("p", null, "There is nothing at ", h("code", null, pathname), "."),
    h("p", null, h("a", { href: "#/" }, "Go to the overview")),
  );
}

window.addEventListener("hashchange", async () => {
  if (!window.location.hash.startsWith("#/") && window.location.hash) return;
  await show();
  // Whoever cannot see that the page changed hears its heading.
  shell?.main.querySelector("h1")?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
});

document.addEventListener("unauthorized", (event) => {
  if (!shell) return; // the login page shows it itself
  credentials.forget();
  start(event.detail);
});

start();
