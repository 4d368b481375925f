import { element, emit } from "./dom.js";
import { setText } from "./i18n.js";

/** Asks for the tenant key. Emits `key` with it. */
export class SettingsDialog extends HTMLElement {
  #input = element("input", { id: "settings-key", type: "password", autocomplete: "off", spellcheck: false, required: true });
  #dialog = element("dialog", { className: "settings", dataset: { testid: "settings-dialog" } });

  connectedCallback() {
    const title = setText(element("h2", { id: "settings-title" }), "settings.title");
    const label = setText(element("label", { htmlFor: "settings-key" }), "settings.key");
    const help = setText(element("p", { id: "settings-help", className: "help" }), "settings.help");
    const cancel = setText(element("button", { type: "button", className: "plain" }), "settings.cancel");
    const save = setText(element("button", { type: "submit", className: "primary" }), "settings.save");
    const buttons = element("div", { className: "buttons" }, cancel, save);
    const form = element("form", {}, title, label, this.#input, help, buttons);
    this.#input.dataset.testid = "settings-key";
    this.#input.setAttribute("aria-describedby", "settings-help");
    this.#dialog.setAttribute("aria-labelledby", "settings-title");
    cancel.addEventListener("click", () => this.#dialog.close());
    form.addEventListener("submit", (event) => this.#save(event));
    this.#dialog.append(form);
    this.append(this.#dialog);
  }

  open(key) {
    this.#input.value = key ?? "";
    this.#dialog.showModal();
    this.#input.select();
  }

  #save(event) {
    event.preventDefault();
    this.#dialog.close();
    emit(this, "key", this.#input.value.trim());
  }
}

customElements.define("settings-dialog", SettingsDialog);
