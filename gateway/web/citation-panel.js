import { element, icon } from "./dom.js";
import { scriptLanguage, setLabel, setText } from "./i18n.js";
import { parseMarkdown } from "./markdown.js";
import { MarkdownView } from "./markdown-dom.js";

/** Shows a citation's passage in a modal dialog at the page's side; Esc, Close or a click beside it closes it. */
export class CitationPanel extends HTMLElement {
  #heading = element("p", { className: "eyebrow" });
  #title = element("h2", { id: "citation-title", tabIndex: -1, autofocus: true });
  #passage = element("div", { className: "passage", tabIndex: 0, dataset: { testid: "citation-passage" } });
  #document = element("dd");
  #dialog = element("dialog", { className: "panel", dataset: { testid: "citation-panel" } });

  connectedCallback() {
    const close = setLabel(element("button", { type: "button", className: "tool close" }, icon("close")), "citation.close");
    close.addEventListener("click", () => this.#dialog.close());
    const head = element("header", {}, element("div", {}, this.#heading, this.#title), close);
    const origin = element("dl", {}, setText(element("dt"), "citation.document"), this.#document);
    this.#passage.setAttribute("role", "group");
    this.#passage.setAttribute("aria-labelledby", "citation-title");
    this.#dialog.setAttribute("aria-labelledby", "citation-title");
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    this.#dialog.append(element("div", { className: "sheet" }, head, this.#passage, origin));
    this.append(this.#dialog);
  }

  /** Opens on `{number, document, title, passage}`; on closing, focus returns to where it was. */
  open({ number, document: source, title, passage }) {
    setText(this.#heading, "citation.heading", { number });
    this.#title.textContent = title;
    this.#title.lang = scriptLanguage(title);
    this.#passage.lang = scriptLanguage(passage);
    this.#passage.replaceChildren();
    new MarkdownView(this.#passage, (cited) => document.createTextNode(`[${cited}]`)).show(parseMarkdown(passage));
    this.#document.textContent = source;
    this.#dialog.showModal();
    this.#passage.scrollTop = 0;
  }
}

customElements.define("citation-panel", CitationPanel);
