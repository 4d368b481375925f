import { setLabel } from "./i18n.js";
import { preferences } from "./storage.js";

const darkSystem = matchMedia("(prefers-color-scheme: dark)");

function current() {
  return document.documentElement.dataset.theme ?? (darkSystem.matches ? "dark" : "light");
}

/** Makes `button` flip between the light and the dark theme and remember the choice. */
export function bindThemeToggle(button) {
  const describe = () => setLabel(button, current() === "dark" ? "theme.light" : "theme.dark");
  button.addEventListener("click", () => {
    const theme = current() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    preferences.set("theme", theme);
    describe();
  });
  darkSystem.addEventListener("change", describe);
  describe();
}
