import assert from "node:assert/strict";
import { test } from "node:test";
import { citedNumbers, parseInlines, parseMarkdown } from "../markdown.js";

const text = (text) => ({ type: "text", text });
const cite = (number) => ({ type: "citation", number });

test("paragraphs end at blank lines, headings, lists and fences", () => {
  const blocks = parseMarkdown("one\nstill one\n\ntwo\n## Three\n- four\n```\nfive\n```\nsix");
  assert.deepEqual(blocks.map(({ type }) => type), ["paragraph", "paragraph", "heading", "list", "code", "paragraph"]);
  assert.deepEqual(blocks[0].inlines, [text("one"), { type: "break" }, text("still one")]);
});

test("a fence that is still open is code to the end, and nothing in it is Markdown", () => {
  assert.deepEqual(parseMarkdown("```js\nlet a = b[1];\n\n# no"), [{ type: "code", text: "let a = b[1];\n\n# no" }]);
});

test("a longer fence holds a shorter one", () => {
  assert.deepEqual(parseMarkdown("````\n```\n````"), [{ type: "code", text: "```" }]);
});

test("lists keep their start, go on over blank lines, nest, and continue", () => {
  const [list, ...rest] = parseMarkdown("3. three\n   more\n\n4. four\n   - inner\n   - inner too\n5. five");
  assert.deepEqual(rest, []);
  assert.equal(list.ordered, true);
  assert.equal(list.start, 3);
  assert.equal(list.items.length, 3);
  assert.deepEqual(list.items[0].inlines, [text("three"), { type: "break" }, text("more")]);
  assert.equal(list.items[1].children[0].items.length, 2);
});

test("a list of another kind is another list; Chinese numbering is numbering", () => {
  const blocks = parseMarkdown("- a\n1. b\n2. c");
  assert.deepEqual(blocks.map(({ ordered }) => ordered), [false, true]);
  assert.equal(parseMarkdown("1、打开登录页\n2、点击")[0].items.length, 2);
});

test("a number or a hyphen within a sentence begins no list", () => {
  assert.equal(parseMarkdown("3.5 GB are enough")[0].type, "paragraph");
  assert.equal(parseMarkdown("-5 degrees")[0].type, "paragraph");
});

test("strong, emphasis and code, also within Chinese, which has no spaces", () => {
  assert.deepEqual(parseInlines("点击**重置**密码"), [text("点击"), { type: "strong", inlines: [text("重置")] }, text("密码")]);
  assert.deepEqual(parseInlines("*a* `**b**`"), [{ type: "em", inlines: [text("a")] }, text(" "), { type: "code", text: "**b**" }]);
  assert.deepEqual(parseInlines("***x***"), [{ type: "strong", inlines: [{ type: "em", inlines: [text("x")] }] }]);
  assert.deepEqual(parseInlines("**open"), [text("**open")]);
  assert.deepEqual(parseInlines("2 * 3 * 4"), [text("2 * 3 * 4")]);
});

test("citation markers of every common form", () => {
  assert.deepEqual(parseInlines("a[1]【2】［3］[4, 5]"), [text("a"), cite(1), cite(2), cite(3), cite(4), cite(5)]);
  assert.deepEqual(parseInlines("`x[1]` [note]"), [{ type: "code", text: "x[1]" }, text(" [note]")]);
});

test("a link shows where it leads, and only http and https are links", () => {
  const url = "https://example.com/a?b=1";
  assert.deepEqual(parseInlines(`[bank](${url})`), [text("bank ("), { type: "link", text: url }, text(")")]);
  assert.deepEqual(parseInlines(`见${url}。`), [text("见"), { type: "link", text: url }, text("。")]);
  assert.deepEqual(parseInlines("[x](javascript:alert(1))"), [text("[x](javascript:alert(1))")]);
});

test("HTML is text", () => {
  assert.deepEqual(parseInlines("<img src=x onerror=alert(1)>"), [text("<img src=x onerror=alert(1)>")]);
});

test("cited numbers come once, in order, from every depth", () => {
  const blocks = parseMarkdown("**a [3]** [1]\n\n- b [3]\n  - c [2]\n\n```\n[9]\n```");
  assert.deepEqual(citedNumbers(blocks), [3, 1, 2]);
});

test("long hostile text is read in reasonable time", () => {
  const started = performance.now();
  for (const piece of ["*", "**a", "[1", "`", "- ", "\n> ", "https://", "[a](", "#"]) parseMarkdown(piece.repeat(20_000 / piece.length));
  assert.ok(performance.now() - started < 5_000);
});
