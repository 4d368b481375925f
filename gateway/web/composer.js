import { element, emit, icon } from "./dom.js";
import { setLabel, setText } from "./i18n.js";

/** The longest question, in characters. */
export const MAX_CHARS = 8000;
const COUNT_FROM = MAX_CHARS * 0.9;

/** The field for a question. Emits `ask` with its text, `stop`, and `announce` with a key. */
export class Composer extends HTMLElement {
  #input = element("textarea", { rows: 1, name: "question", autocomplete: "off", enterKeyHint: "send" });
  #send = element("button", { type: "submit", className: "round" }, icon("send"));
  #stop = element("button", { type: "button", className: "round stop", hidden: true }, icon("stop"));
  #hint = element("p", { className: "hint", id: "composer-hint" });
  #counter = element("p", { className: "counter", id: "composer-counter", hidden: true });

  connectedCallback() {
    Object.assign(this.#input.dataset, { testid: "composer-input", i18nPlaceholder: "composer.placeholder" });
    setLabel(this.#input, "composer.label").setAttribute("aria-describedby", "composer-hint composer-counter");
    setLabel(this.#send, "composer.send").dataset.testid = "send";
    setLabel(this.#stop, "composer.stop").dataset.testid = "stop";
    const field = element("div", { className: "field" }, this.#input, this.#send, this.#stop);
    const below = element("div", { className: "below" }, setText(this.#hint, "composer.hint"), this.#counter);
    const form = element("form", { noValidate: true }, field, below);
    form.addEventListener("submit", (event) => this.#submit(event));
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#input.addEventListener("input", () => this.#changed());
    this.#stop.addEventListener("click", () => emit(this, "stop"));
    field.addEventListener("click", (event) => event.target === field && this.#input.focus());
    this.append(form);
    this.#changed();
  }

  /** While an answer is written, Stop stands in Send's place. */
  set busy(busy) {
    const focused = this.contains(document.activeElement);
    this.#stop.hidden = !busy;
    this.#send.hidden = busy;
    if (focused) this.focusGently();
  }

  get busy() {
    return !this.#stop.hidden;
  }

  /** Focuses the field, but not where that would raise a touch keyboard. */
  focusGently() {
    if (matchMedia("(pointer: fine)").matches) this.#input.focus({ preventScroll: true });
  }

  clear() {
    this.#input.value = "";
    this.#changed();
  }

  /** Enter also ends an input method's composition; then it must not send. Safari says so by key code 229 only. */
  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    this.#submit(event);
  }

  #submit(event) {
    event.preventDefault();
    const text = this.#input.value.trim();
    if (this.busy) return emit(this, "announce", "composer.busy");
    if (!text) {
      this.#input.focus();
      return emit(this, "announce", "composer.empty");
    }
    if (this.#excess() > 0) return this.#input.focus();
    this.focusGently();
    this.clear();
    emit(this, "ask", text);
  }

  #excess() {
    return [...this.#input.value.trim()].length - MAX_CHARS;
  }

  #changed() {
    const excess = this.#excess();
    this.#send.disabled = !this.#input.value.trim() || excess > 0;
    this.#input.setAttribute("aria-invalid", String(excess > 0));
    this.#counter.hidden = excess < COUNT_FROM - MAX_CHARS;
    this.#counter.classList.toggle("over", excess > 0);
    if (!this.#counter.hidden) setText(this.#counter, excess > 0 ? "composer.over" : "composer.left", { n: Math.abs(excess) });
    this.#input.style.height = "auto";
    this.#input.style.height = `${this.#input.scrollHeight}px`;
  }
}

customElements.define("chat-composer", Composer);
