import { AssistantMessage, userMessage } from "./chat-message.js";
import { element, emit, icon } from "./dom.js";
import { setLabel, setText } from "./i18n.js";

/** Nearer to the end than this, in pixels, a reader follows what is written. */
const NEAR_END = 80;

/** The scrolling log of messages, with a welcome while it is empty. Emits `example` with a question. */
export class ChatLog extends HTMLElement {
  #list = element("div", { className: "messages" });
  #welcome = element("section", { className: "welcome" });
  #latest = element("button", { type: "button", className: "latest", hidden: true }, icon("down"));
  #follows = true;

  connectedCallback() {
    const scroller = setLabel(element("div", { className: "scroller", tabIndex: 0 }, this.#welcome, this.#list), "log.label");
    scroller.setAttribute("role", "log");
    scroller.setAttribute("aria-live", "polite");
    scroller.setAttribute("aria-relevant", "additions");
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.addEventListener("message-grown", () => this.#follow());
    new ResizeObserver(() => this.#follow()).observe(scroller);
    this.#latest.addEventListener("click", () => this.#toEnd());
    this.append(scroller, setLabel(this.#latest, "log.latest"));
  }

  /** Fills the welcome; `examples` are `{text, lang}`. */
  set examples(examples) {
    const title = setText(element("h2"), "welcome.title");
    const text = setText(element("p"), "welcome.text");
    this.#welcome.replaceChildren(title, text);
    if (!examples.length) return;
    const chips = examples.map((example) => element("li", {}, this.#chip(example)));
    this.#welcome.append(setLabel(element("ul", { className: "examples" }, ...chips), "welcome.examples"));
  }

  /** Appends a turn: its question, if it has one, and its answer, which is returned. */
  show(turn) {
    this.#welcome.hidden = true;
    if (turn.question !== null) this.#list.append(userMessage(turn.question));
    const answer = new AssistantMessage();
    this.#list.append(answer);
    answer.turn = turn;
    this.#toEnd();
    return answer;
  }

  clear() {
    this.#list.replaceChildren();
    this.#welcome.hidden = false;
    this.#latest.hidden = true;
    this.#follows = true;
  }

  #chip({ text, lang }) {
    const chip = element("button", { type: "button", className: "chip", lang }, text);
    chip.addEventListener("click", () => emit(this, "example", text));
    return chip;
  }

  get #scroller() {
    return this.querySelector(".scroller");
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR_END;
    this.#latest.hidden = this.#follows;
  }

  #follow() {
    if (this.#follows) this.#toEnd();
    else this.#scrolled();
  }

  #toEnd() {
    this.#follows = true;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}

customElements.define("chat-log", ChatLog);
