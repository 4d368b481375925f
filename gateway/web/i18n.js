import { MESSAGES } from "./messages.js";

let language = "en";

/** The interface's language for a choice of `auto`, `zh` or `en` and the browser's languages. */
export function resolveLanguage(choice, browserLanguages) {
  if (choice in MESSAGES) return choice;
  const known = browserLanguages.map((tag) => tag.split("-")[0].toLowerCase()).find((tag) => tag in MESSAGES);
  return known ?? "en";
}

/** The text of `key`; `{name}` takes `params.name`, and `key.one` is preferred where `params.n` is 1. */
export function translate(lang, key, params = {}) {
  const table = MESSAGES[lang];
  const template = (params.n === 1 && table[`${key}.one`]) || table[key] || key;
  return template.replace(/\{(\w+)\}/g, (_, name) => String(params[name] ?? ""));
}

/** The text of `key` in the interface's language. */
export function t(key, params) {
  return translate(language, key, params);
}

/** The key of the text for an error code, or null where the server's own words must do. */
export function failureKey({ code, message }) {
  if (`failure.${code}` in MESSAGES.en) return `failure.${code}`;
  return message ? null : "failure.unknown";
}

function mark(node, kind, key, params) {
  node.dataset[kind] = key;
  if (params) node.dataset.i18nParams = JSON.stringify(params);
  apply(node);
  return node;
}

/** Gives `node` a text that follows the interface's language. */
export function setText(node, key, params) {
  return mark(node, "i18n", key, params);
}

/** Gives `node` an accessible name and a tooltip that follow the interface's language. */
export function setLabel(node, key, params) {
  return mark(node, "i18nLabel", key, params);
}

function apply(node) {
  const { i18n, i18nLabel, i18nPlaceholder, i18nParams } = node.dataset;
  const params = i18nParams ? JSON.parse(i18nParams) : {};
  if (i18n) node.textContent = t(i18n, params);
  if (i18nPlaceholder) node.placeholder = t(i18nPlaceholder, params);
  if (!i18nLabel) return;
  node.setAttribute("aria-label", t(i18nLabel, params));
  if (node.localName === "button") node.title = t(i18nLabel, params);
}

/** Sets the interface's language and rewrites every marked text of the page. */
export function setLanguage(lang) {
  language = lang;
  document.documentElement.lang = lang === "zh" ? "zh-CN" : lang;
  document.title = t("app.title");
  document.querySelectorAll("[data-i18n], [data-i18n-label], [data-i18n-placeholder]").forEach(apply);
}

/** A language tag for a text, for its glyphs and its voice; empty where the script does not tell. */
export function scriptLanguage(text) {
  if (/[\p{Script=Hiragana}\p{Script=Katakana}]/u.test(text)) return "ja";
  if (/\p{Script=Han}/u.test(text)) return "zh-CN";
  return /^[\p{ASCII}\p{Punctuation}\p{Symbol}\s]*$/u.test(text) ? "en" : "";
}
