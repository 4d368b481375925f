/**
 * The light Markdown of answers, as data. Blocks: `{type: "paragraph"|"heading", inlines}`, `{type: "code", text}`,
 * `{type: "list", ordered, start, items: [{inlines, children: [list]}]}`. Inlines: `{type: "text"|"code"|"link", text}`,
 * `{type: "strong"|"em", inlines}`, `{type: "break"}`, `{type: "citation", number}`. What is not Markdown here stays text.
 */
export function parseMarkdown(source) {
  const lines = source.replace(/\r\n?/g, "\n").split("\n");
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    const read = READERS.find(({ test }) => test.test(lines[at]))?.read ?? readParagraph;
    const { block, next } = read(lines, at);
    if (block) blocks.push(block);
    at = next;
  }
  return blocks;
}

const FENCE = /^\s{0,3}(`{3,}|~{3,})/;
const HEADING = /^\s{0,3}#{1,6}\s+(.+?)\s*#*\s*$/;
const ITEM = /^(\s*)([-*+•]|\d{1,3}[.)、])(\s+|(?<=、))(\S.*)$/;
const BLANK = /^\s*$/;

const READERS = [
  { test: BLANK, read: (_, at) => ({ block: null, next: at + 1 }) },
  { test: FENCE, read: readFence },
  { test: HEADING, read: readHeading },
  { test: ITEM, read: readList },
];

function readFence(lines, at) {
  const fence = FENCE.exec(lines[at])[1];
  const end = lines.findIndex((line, i) => i > at && line.trim().startsWith(fence) && !line.trim().slice(fence.length));
  const stop = end < 0 ? lines.length : end;
  return { block: { type: "code", text: lines.slice(at + 1, stop).join("\n") }, next: stop + 1 };
}

function readHeading(lines, at) {
  return { block: { type: "heading", inlines: parseInlines(HEADING.exec(lines[at])[1]) }, next: at + 1 };
}

function readParagraph(lines, at) {
  let next = at + 1;
  while (next < lines.length && !READERS.some(({ test }) => test.test(lines[next]))) next += 1;
  return { block: { type: "paragraph", inlines: parseInlines(lines.slice(at, next).join("\n")) }, next };
}

/** A list goes on over blank lines as long as items of its depth follow; deeper ones are lists of the last item. */
function readList(lines, at) {
  const [, indent, marker] = ITEM.exec(lines[at]);
  const list = { type: "list", ordered: isOrdered(marker), start: Number.parseInt(marker, 10) || 1, items: [] };
  let next = at;
  while (next < lines.length) {
    const item = ITEM.exec(lines[next]);
    if (item && item[1].length > indent.length + 1) {
      const nested = readList(lines, next);
      list.items.at(-1).children.push(nested.block);
      next = nested.next;
    } else if (item && item[1].length + 1 >= indent.length && isOrdered(item[2]) === list.ordered) {
      list.items.push({ source: item[4], children: [] });
      next += 1;
    } else if (!item && isContinuation(lines, next) && !list.items.at(-1).children.length) {
      list.items.at(-1).source += `\n${lines[next].trim()}`;
      next += 1;
    } else if (BLANK.test(lines[next]) && ITEM.test(lines[next + 1] ?? "")) {
      next += 1;
    } else break;
  }
  list.items = list.items.map(({ source, children }) => ({ inlines: parseInlines(source), children }));
  return { block: list, next };
}

function isOrdered(marker) {
  return /\d/.test(marker);
}

/** An indented line that follows an item's text directly. */
function isContinuation(lines, at) {
  return /^\s+\S/.test(lines[at]) && !FENCE.test(lines[at]) && !BLANK.test(lines[at - 1]);
}

const INLINE = new RegExp(
  [
    "`(?<code>[^`\\n]+)`",
    "\\*\\*(?<strong>\\*?[^\\s*](?:[^\\n]*?\\S)?)\\*\\*(?!\\*)",
    "(?<!\\*)\\*(?<em>[^\\s*](?:[^*\\n]*[^\\s*])?)\\*(?!\\*)",
    "[[【［](?<citation>\\d{1,3}(?:\\s*[,，、]\\s*\\d{1,3})*)[\\]】］]",
    "\\[(?<label>[^\\]\\n]+)\\]\\((?<target>https?://[^\\s)]+)\\)",
    "(?<link>https?://[^\\s<>\"'`（）()，。；、！？】」]*[^\\s<>\"'`（）()，。；、！？】」.,;:!?\\]*])",
    "(?<break>\\n)",
  ].join("|"),
  "g",
);

/** Deeper nesting stays text: an answer may be made to nest without end. */
const MAX_DEPTH = 4;

/** The inlines of one block's text. */
export function parseInlines(source, depth = 0) {
  if (depth > MAX_DEPTH) return [{ type: "text", text: source }];
  const inlines = [];
  let from = 0;
  for (const match of source.matchAll(INLINE)) {
    pushText(inlines, source.slice(from, match.index));
    inlines.push(...inlinesOf(match.groups, depth + 1));
    from = match.index + match[0].length;
  }
  pushText(inlines, source.slice(from));
  return inlines;
}

function pushText(inlines, text) {
  if (text) inlines.push({ type: "text", text });
}

/** A link's target is always visible: a model may be made to lie about where a link leads. */
function inlinesOf({ code, strong, em, citation, label, target, link }, depth) {
  if (code !== undefined) return [{ type: "code", text: code }];
  if (strong !== undefined) return [{ type: "strong", inlines: parseInlines(strong, depth) }];
  if (em !== undefined) return [{ type: "em", inlines: parseInlines(em, depth) }];
  if (citation !== undefined) return citation.match(/\d+/g).map((digits) => ({ type: "citation", number: Number(digits) }));
  if (label === target && target) return [{ type: "link", text: target }];
  if (target !== undefined) return [{ type: "text", text: `${label} (` }, { type: "link", text: target }, { type: "text", text: ")" }];
  if (link !== undefined) return [{ type: "link", text: link }];
  return [{ type: "break" }];
}

/** The numbers that blocks cite, in order of first appearance. */
export function citedNumbers(blocks) {
  const inBlock = ({ inlines = [], items = [] }) => [...inlines.flatMap(inInline), ...items.flatMap(inItem)];
  const inItem = ({ inlines, children }) => [...inlines.flatMap(inInline), ...children.flatMap(inBlock)];
  const inInline = (inline) => (inline.type === "citation" ? [inline.number] : (inline.inlines ?? []).flatMap(inInline));
  return [...new Set(blocks.flatMap(inBlock))];
}
