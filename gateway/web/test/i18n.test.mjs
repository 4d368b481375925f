import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { failureKey, resolveLanguage, scriptLanguage, translate } from "../i18n.js";
import { MESSAGES } from "../messages.js";

const ROOT = new URL("../", import.meta.url);
const files = readdirSync(ROOT).filter((name) => /\.(js|html)$/.test(name) && name !== "messages.js");
const source = files.map((name) => readFileSync(new URL(name, ROOT), "utf8")).join("\n");
const plain = (lang) => Object.keys(MESSAGES[lang]).filter((key) => !key.endsWith(".one"));
const placeholders = (text) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();

test("every language has every text, with the same placeholders", () => {
  for (const lang of Object.keys(MESSAGES)) {
    assert.deepEqual(plain(lang).sort(), plain("en").sort(), lang);
    for (const key of plain(lang)) {
      assert.ok(MESSAGES[lang][key].trim(), `${lang} ${key}`);
      assert.deepEqual(placeholders(MESSAGES[lang][key]), placeholders(MESSAGES.en[key]), `${lang} ${key}`);
    }
  }
});

test("every text that the page names exists, and every text is used", () => {
  const groups = [...new Set(plain("en").map((key) => key.split(".")[0]))].join("|");
  const named = new Set([...source.matchAll(new RegExp(`["'\`]((?:${groups})\\.[a-z_]+)["'\`]`, "g"))].map((match) => match[1]));
  const byPattern = ["failure.", "action.", "state."];
  for (const key of named) assert.ok(key in MESSAGES.en, `${key} is named but has no text`);
  for (const key of plain("en")) {
    assert.ok(named.has(key) || byPattern.some((prefix) => key.startsWith(prefix)), `${key} is never used`);
  }
});

test("texts take parameters and the singular", () => {
  assert.equal(translate("en", "state.reading", { n: 3 }), "Reading 3 sources…");
  assert.equal(translate("en", "state.reading", { n: 1 }), "Reading 1 source…");
  assert.equal(translate("zh", "state.reading", { n: 1 }), "正在阅读 1 条资料…");
});

test("a choice outweighs the browser, and the browser outweighs English", () => {
  assert.equal(resolveLanguage("zh", ["en-US"]), "zh");
  assert.equal(resolveLanguage("auto", ["fr-FR", "zh-Hant-TW", "en"]), "zh");
  assert.equal(resolveLanguage("auto", ["fr-FR"]), "en");
});

test("a text's script gives its language", () => {
  assert.equal(scriptLanguage("如何重置 password？"), "zh-CN");
  assert.equal(scriptLanguage("パスワードの再設定"), "ja");
  assert.equal(scriptLanguage("It’s “fine” – 5 €"), "en");
  assert.equal(scriptLanguage("Как дела?"), "");
});

test("an unknown failure is told in the server's words, if there are any", () => {
  assert.equal(failureKey({ code: "overloaded", message: "x" }), "failure.overloaded");
  assert.equal(failureKey({ code: "invalid_request", message: "content is empty" }), null);
  assert.equal(failureKey({ code: "http_418", message: "" }), "failure.unknown");
});
