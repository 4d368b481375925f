import { badge } from "./badge.js";
import { element, emit, icon } from "./dom.js";
import { failureKey, scriptLanguage, setText } from "./i18n.js";
import { citedNumbers, parseMarkdown } from "./markdown.js";
import { MarkdownView } from "./markdown-dom.js";
import { citationButton, sourceList } from "./sources.js";
import { isOver } from "./turn.js";

/** What the customer wrote. */
export function userMessage(content) {
  const bubble = element("div", { className: "bubble", lang: scriptLanguage(content) }, content);
  return element(
    "article",
    { className: "message user", dataset: { testid: "message-user" } },
    setText(element("h2", { className: "hidden" }), "message.user"),
    bubble,
  );
}

/** The assistant's answer to one turn. Emits `turn-retry`, `turn-again` and `citation-open`. */
export class AssistantMessage extends HTMLElement {
  #body = element("div", { className: "answer" });
  #state = element("p", { className: "state" });
  #foot = element("div", { className: "foot" });
  #view = new MarkdownView(this.#body, (number) => this.#marker(number));
  #citations = new Map();
  #frame = 0;
  #turn = null;

  connectedCallback() {
    if (this.#body.isConnected) return;
    this.className = "message assistant";
    this.dataset.testid = "message-assistant";
    this.setAttribute("role", "article");
    const heading = setText(element("h2", { className: "who" }), "message.assistant");
    this.#foot.setAttribute("aria-live", "off");
    this.#state.setAttribute("aria-live", "off");
    this.append(heading, this.#body, this.#state, this.#foot);
  }

  /** Shows a turn; text that streams in is drawn once per frame. */
  set turn(turn) {
    const over = isOver(turn);
    this.#setCitations(turn.citations);
    this.#turn = turn;
    this.dataset.state = over ? turn.phase : "streaming";
    this.#body.setAttribute("aria-busy", String(!over));
    this.#showState();
    cancelAnimationFrame(this.#frame);
    if (over) this.#finish();
    else {
      this.#foot.replaceChildren();
      this.#frame = requestAnimationFrame(() => this.#draw());
    }
  }

  get turn() {
    return this.#turn;
  }

  #setCitations(citations) {
    if (JSON.stringify(citations) === JSON.stringify(this.#turn?.citations)) return;
    this.#citations = new Map(citations.map((citation) => [citation.number, citation]));
    this.#clear();
  }

  #clear() {
    this.#view.reset();
    this.#body.replaceChildren();
  }

  #marker(number) {
    const citation = this.#citations.get(number);
    return citation ? citationButton(citation) : document.createTextNode(`[${number}]`);
  }

  #draw() {
    const blocks = parseMarkdown(this.#turn.text);
    this.#body.lang = scriptLanguage(this.#turn.text);
    this.#view.show(blocks);
    emit(this, "message-grown");
    return blocks;
  }

  #showState() {
    const { phase, citations } = this.#turn;
    this.#state.hidden = isOver(this.#turn);
    if (this.#state.hidden || this.#state.dataset.phase === phase) return;
    this.#state.dataset.phase = phase;
    setText(this.#state, ...stateText(phase, citations.length));
  }

  /**
   * Screen readers pass over what grows while the text is busy, so the whole text is inserted once more; not where the
   * reader is within it, who would lose the place.
   */
  #finish() {
    if (!this.#body.contains(document.activeElement) && document.getSelection().isCollapsed) this.#clear();
    const blocks = this.#draw();
    const { citations, origin } = this.#turn;
    // A curated answer has no markers, and is from its source all the same.
    const cited = origin === "faq" ? citations.map(({ number }) => number) : citedNumbers(blocks);
    const parts = [badge(this.#turn), ...this.#notes(), sourceList(citations, cited), this.#actions()];
    this.#foot.replaceChildren(...parts.filter((part) => part !== null));
    emit(this, "message-grown");
  }

  #notes() {
    const { phase, text, finishReason, failure } = this.#turn;
    if (phase === "failed") return [failureNote(failure)];
    const key = phase === "stopped" ? (text ? "note.stopped" : "note.unanswered") : finishReason === "length" && "note.length";
    return key ? [setText(element("p", { className: "note" }), key)] : [];
  }

  #actions() {
    const { phase, question, text } = this.#turn;
    const actions = element("div", { className: "actions" });
    if (question !== null && phase === "failed") actions.append(this.#button("retry", "retry", () => emit(this, "turn-retry")));
    if (question !== null) actions.append(this.#button("again", "retry", () => emit(this, "turn-again")));
    if (text && navigator.clipboard) actions.append(this.#button("copy", "copy", (label) => this.#copy(label)));
    return actions;
  }

  #button(name, symbol, act) {
    const label = setText(element("span"), `action.${name}`);
    const button = element("button", { type: "button", className: "action", dataset: { testid: name } }, icon(symbol), label);
    button.addEventListener("click", () => act(label));
    return button;
  }

  async #copy(label) {
    await navigator.clipboard.writeText(this.#turn.text);
    setText(label, "action.copied");
    emit(this, "announce", "action.copied");
    setTimeout(() => setText(label, "action.copy"), 2000);
  }
}

/** The key and the parameters of a state line. */
export function stateText(phase, n) {
  if (phase === "reading") return n ? ["state.reading", { n }] : ["state.unsourced"];
  return [`state.${phase}`];
}

function failureNote(failure) {
  const key = failureKey(failure);
  const text = key ? setText(element("span"), key) : element("span", {}, failure.message);
  const note = element("p", { className: "note failure", attributes: { role: "alert" } }, icon("warning"), text);
  if (failure.retryAfter) note.append(setText(element("span"), "failure.wait", { n: failure.retryAfter }));
  return note;
}

customElements.define("assistant-message", AssistantMessage);
