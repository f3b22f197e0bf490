/* Owns what is shown to those who are not logged in: the login form, or that the broker is away. */

import { credentials } from "./api.js";
import { h } from "./dom.js";
import { createForm } from "./form.js";
import { session } from "./session.js";

const RETRY_MS = 3000;

/** Says that the broker cannot be reached, and tries again until it can. */
export function waitingPage(enter, trouble) {
  document.title = "Waiting · Leveret";
  const timer = setTimeout(() => enter(), RETRY_MS);
  const now = () => {
    clearTimeout(timer);
    enter();
  };
  document.body.replaceChildren(
    h(
      "main",
      { class: "login" },
      h("h1", null, "Leveret"),
      h("p", { class: "notice bad", role: "alert" }, trouble),
      h("p", { class: "hint" }, "Trying again every few seconds. You stay logged in."),
      h("div", { class: "buttons" }, h("button", { type: "button", onclick: now }, "Try now")),
    ),
  );
}

/** Shows the form in place of everything; calls `enter` once the credentials are accepted. */
export function loginPage(enter, trouble) {
  document.title = "Log in · Leveret";
  const accept = async () => {
    try {
      await session.open();
    } catch (error) {
      credentials.forget();
      throw error;
    }
    enter();
  };
  const password = createForm({
    submit: "Log in",
    keep: true,
    fields: [
      { name: "user", label: "User name", required: true, autocomplete: "username" },
      { name: "password", label: "Password", type: "password", autocomplete: "current-password" },
    ],
    onSubmit: ({ user, password: secret }) => {
      credentials.setPassword(user, secret);
      return accept();
    },
  });
  const token = createForm({
    submit: "Log in with the token",
    keep: true,
    fields: [{ name: "token", label: "Access token (JWT)", type: "area", required: true }],
    onSubmit: ({ token: text }) => {
      credentials.setToken(text.trim());
      return accept();
    },
  });
  document.body.replaceChildren(
    h(
      "main",
      { class: "login" },
      h("img", { src: "icon.svg", alt: "", width: 56, height: 56 }),
      h("h1", null, "Leveret"),
      h(
        "p",
        { class: "hint" },
        "Log in with a user of this broker that has one of the tags management, policymaker, monitoring or administrator.",
      ),
      trouble && h("p", { class: "notice bad", role: "alert" }, trouble),
      password,
      h(
        "details",
        { class: "folded" },
        h("summary", null, "Use an OAuth 2.0 token instead"),
        token,
      ),
    ),
  );
  document.querySelector("input[name=user]").focus();
}
