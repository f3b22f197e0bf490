/* Owns the colour theme: light, dark, or whatever the system prefers.
 *
 * A classic script in <head>, so that the choice holds before anything is painted. */

(() => {
  "use strict";
  const KEY = "leveret.theme";
  const CHOICES = ["system", "light", "dark"];

  const chosen = () => {
    const theme = localStorage.getItem(KEY);
    return CHOICES.includes(theme) ? theme : "system";
  };

  const apply = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };

  window.theme = {
    chosen,
    /** Goes to the next choice and returns it. */
    next() {
      const theme = CHOICES[(CHOICES.indexOf(chosen()) + 1) % CHOICES.length];
      localStorage.setItem(KEY, theme);
      apply(theme);
      return theme;
    },
  };
  apply(chosen());
})();
