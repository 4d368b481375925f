import { element } from "./dom.js";

/** Builds DOM nodes from Markdown blocks; `citation(number)` gives the node of a marker. Never parses HTML. */
export class MarkdownView {
  #root;
  #citation;
  #shown = [];

  constructor(root, citation) {
    this.#root = root;
    this.#citation = citation;
  }

  /** Shows `blocks`, leaving the nodes of unchanged leading blocks alone, so that focus and selection survive. */
  show(blocks) {
    const keys = blocks.map((block) => JSON.stringify(block));
    const differs = keys.findIndex((key, i) => key !== this.#shown[i]);
    const keep = differs < 0 ? keys.length : differs;
    while (this.#root.children.length > keep) this.#root.lastElementChild.remove();
    this.#root.append(...blocks.slice(keep).map((block) => this.#block(block)));
    this.#shown = keys;
  }

  /** Forgets what is shown, for when the citations behind the markers have changed. */
  reset() {
    this.#shown = [];
  }

  #block(block) {
    switch (block.type) {
      case "code":
        return element("pre", { tabIndex: 0 }, element("code", {}, block.text));
      case "list":
        return this.#list(block);
      case "heading":
        return element("p", { className: "heading" }, ...this.#inlines(block.inlines));
      default:
        return element("p", {}, ...this.#inlines(block.inlines));
    }
  }

  #list({ ordered, start, items }) {
    const nodes = items.map(({ inlines, children }) =>
      element("li", {}, ...this.#inlines(inlines), ...children.map((list) => this.#list(list))),
    );
    return ordered ? element("ol", { start }, ...nodes) : element("ul", {}, ...nodes);
  }

  #inlines(inlines) {
    return inlines.map((inline) => this.#inline(inline));
  }

  #inline({ type, text, inlines, number }) {
    switch (type) {
      case "strong":
      case "em":
        return element(type, {}, ...this.#inlines(inlines));
      case "code":
        return element("code", {}, text);
      case "link":
        return element("a", { href: text, target: "_blank", rel: "noopener noreferrer nofollow" }, text);
      case "break":
        return element("br");
      case "citation":
        return this.#citation(number);
      default:
        return document.createTextNode(text);
    }
  }
}
