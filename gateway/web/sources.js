import { element, emit } from "./dom.js";
import { scriptLanguage, setLabel, setText } from "./i18n.js";

function opens(button, citation) {
  button.dataset.testid = "citation";
  button.setAttribute("aria-haspopup", "dialog");
  button.addEventListener("click", () => emit(button, "citation-open", citation));
  return button;
}

/** The marker of a citation within a text. */
export function citationButton(citation) {
  const button = element("button", { type: "button", className: "marker" }, String(citation.number));
  setLabel(button, "citation.open", { number: citation.number, title: citation.title });
  return opens(button, citation);
}

function sourceItem(citation) {
  const number = element("span", { className: "number", attributes: { "aria-hidden": "true" } }, String(citation.number));
  const title = element("span", { lang: scriptLanguage(citation.title) }, citation.title);
  const text = element("span", {}, title, element("span", { className: "document" }, citation.document));
  const button = element("button", { type: "button", className: "source" }, number, text);
  return element("li", {}, opens(button, citation));
}

function list(citations) {
  return element("ol", { className: "list" }, ...citations.map(sourceItem));
}

/**
 * What stands under an answer: the sources it cites, and folded away what else was read. Where it cites nothing, it is
 * said that these passages were found, not that the answer rests on them. Null without citations.
 */
export function sourceList(citations, citedNumbers) {
  if (!citations.length) return null;
  const cited = citedNumbers.flatMap((number) => citations.find((citation) => citation.number === number) ?? []);
  const others = citations.filter((citation) => !cited.includes(citation));
  const heading = setText(element("h3"), cited.length ? "sources.cited" : "sources.found");
  const section = element("section", { className: "sources" }, heading, list(cited.length ? cited : others));
  if (cited.length && others.length) {
    const summary = setText(element("summary"), "sources.more", { n: others.length });
    section.append(element("details", {}, summary, list(others)));
  }
  return section;
}
