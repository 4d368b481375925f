import assert from "node:assert/strict";
import { test } from "node:test";
import { readEvents, SseParser } from "../sse.js";

const STREAM = ': hello\r\n\r\nid: j:0\nevent: token\ndata: {"a":1}\n\ndata: first\rdata:second\r\rid: j:1\r\ndata\r\n\r\nevent: lost\ndata: cut';
const EVENTS = [
  { id: "j:0", event: "token", data: '{"a":1}' },
  { id: "j:0", event: "message", data: "first\nsecond" },
  { id: "j:1", event: "message", data: "" },
];

test("an event stream gives the same events wherever it is cut", () => {
  for (let size = 1; size <= STREAM.length; size += 1) {
    const parser = new SseParser();
    const pieces = STREAM.match(new RegExp(`[\\s\\S]{1,${size}}`, "g"));
    assert.deepEqual(pieces.flatMap((piece) => parser.push(piece)), EVENTS, `pieces of ${size}`);
  }
});

test("comments and empty events give nothing", () => {
  assert.deepEqual(new SseParser().push(": keep-alive\n\nevent: token\n\n\n"), []);
});

test("an event without end is refused", () => {
  const parser = new SseParser();
  const push = () => {
    for (let i = 0; i < 20; i += 1) parser.push(`data: ${"x".repeat(1 << 16)}\n`);
  };
  assert.throws(push, RangeError);
});

test("characters cut between chunks arrive whole, and keep-alives count as life", async () => {
  const bytes = new TextEncoder().encode(": alive\n\ndata: 重置密码\n\n");
  const body = new ReadableStream({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  let pieces = 0;
  const events = [];
  for await (const event of readEvents(body, () => (pieces += 1))) events.push(event.data);
  assert.deepEqual(events, ["重置密码"]);
  assert.ok(pieces > 10);
});

test("leaving the loop cancels the body", async () => {
  let cancelled = false;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\n")),
    cancel: () => (cancelled = true),
  });
  for await (const { data } of readEvents(body)) {
    assert.equal(data, "1");
    break;
  }
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(cancelled, true);
});
