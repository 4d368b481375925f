import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, beforeEach, test } from "node:test";
import { Conversation } from "../conversation.js";
import { tab } from "../storage.js";
import { newTurn } from "../turn.js";

/** A real HTTP server on loopback; `script` answers each request, and `seen` notes it. */
const seen = [];
let script;
const server = createServer(async (request, response) => {
  const chunks = await request.toArray();
  const body = chunks.length ? JSON.parse(Buffer.concat(chunks)) : null;
  const { authorization, "last-event-id": after } = request.headers;
  seen.push({ line: `${request.method} ${request.url}`, key: authorization, after, body });
  script(request, response);
});

const json = (response, status, value, headers = {}) => response.writeHead(status, headers).end(JSON.stringify(value));
const refuse = (response, status, code, headers) => json(response, status, { error: { code, message: `is ${code}` } }, headers);
const token = (seq, text) => `id: j:${seq}\nevent: token\ndata: {"type":"token","text":"${text}"}\n\n`;
const last = (seq, text) => `id: j:${seq}\nevent: finished\ndata: {"type":"finished","text":"${text}"}\n\n`;
const answer = (response, text) => response.end(`: alive\n\n${last(0, text)}`);
const isAsk = (request) => request.url.endsWith("/messages");

let conversation;
before(async () => {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  conversation = new Conversation(`http://127.0.0.1:${server.address().port}/`, [1, 2, 3, 4, 5]);
});
after(() => server.close());
beforeEach(() => {
  seen.length = 0;
  conversation.changeKey("none");
  conversation.changeKey("k");
});

async function ask(lang) {
  const events = [];
  const signal = new AbortController().signal;
  for await (const event of conversation.ask(newTurn("q", "m1"), lang, signal)) events.push(event);
  return events;
}

test("the first question makes a session and asks in it", async () => {
  script = (request, response) => (isAsk(request) ? answer(response, "hi") : json(response, 201, { id: "s 1" }));
  assert.deepEqual(await ask("zh"), [{ type: "finished", text: "hi", id: "j:0" }]);
  assert.deepEqual(seen.map(({ line }) => line), ["POST /v1/sessions", "POST /v1/sessions/s%201/messages"]);
  assert.deepEqual(seen[1].body, { content: "q", client_message_id: "m1", lang: "zh" });
  assert.equal(seen[1].key, "Bearer k");
  await ask();
  assert.equal(seen.length, 3, "the session is kept");
  assert.equal("lang" in seen[2].body, false);
});

test("a lost session is replaced once and the question sent again under its id", async () => {
  tab.set("session", "old");
  script = (request, response) => {
    if (request.url.includes("/old/")) return refuse(response, 404, "session_not_found");
    return isAsk(request) ? answer(response, "hi") : json(response, 201, { id: "new" });
  };
  assert.equal((await ask()).length, 1);
  assert.deepEqual(seen.map(({ body }) => body?.client_message_id), ["m1", undefined, "m1"]);
  assert.equal(tab.get("session"), "new");
  script = (request, response) => (isAsk(request) ? refuse(response, 404, "session_not_found") : json(response, 201, { id: "x" }));
  await assert.rejects(ask(), { code: "session_not_found" });
});

test("a busy session is waited for, a full service is not", async () => {
  tab.set("session", "s");
  let refusals = 1;
  script = (_, response) => (refusals-- > 0 ? refuse(response, 409, "conflict") : answer(response, "hi"));
  assert.equal((await ask()).length, 1);
  script = (_, response) => refuse(response, 503, "overloaded", { "retry-after": "7" });
  await assert.rejects(ask(), { code: "overloaded", status: 503, retryAfter: 7, message: "is overloaded" });
});

test("what is not the contract's is an error with a name", async () => {
  tab.set("session", "s");
  script = (_, response) => response.end("data: {oops\n\n");
  await assert.rejects(ask(), { code: "bad_answer" });
  script = (_, response) => response.writeHead(502).end("<html>");
  await assert.rejects(ask(), { code: "http_502" });
});

/** Answers the requests in turn by what `parts` says, and the rest by the last part. */
function play(...parts) {
  tab.set("session", "s");
  script = (_, response) => (parts.length > 1 ? parts.shift() : parts[0])(response);
}

const breaks = (text) => (response) => response.write(text, () => response.destroy());
const text = (events) => events.map((event) => event.text).join("|");

test("a stream that breaks is taken up after the last event, under the same message id", async () => {
  play(
    breaks(": alive\n\n"),
    breaks(token(0, "a") + token(1, "b")),
    (response) => refuse(response, 503, "unavailable"),
    (response) => response.writeHead(502).end("<html>"),
    (response) => response.end(token(2, "c")),
    (response) => response.end(token(3, "d") + last(4, "abcd")),
  );
  assert.equal(text(await ask()), "a|b|c|d|abcd");
  assert.deepEqual(seen.map(({ after }) => after), [undefined, undefined, "j:1", "j:1", "j:1", "j:2"]);
  const [asked, followed] = ["POST /v1/sessions/s/messages", "GET /v1/sessions/s/turns/j/events"];
  assert.deepEqual(seen.map(({ line }) => line), [asked, asked, followed, followed, followed, followed]);
  assert.equal(seen[1].body.client_message_id, "m1");
});

test("a turn that the server has forgotten is asked for by its message", async () => {
  play(
    breaks(token(0, "a")),
    (response) => response.writeHead(204).end(),
    (response) => refuse(response, 404, "not_found"),
    (response) => response.end(last(1, "ab")),
  );
  assert.equal(text(await ask()), "a|ab");
  assert.deepEqual(seen.map(({ line }) => line.split(" ")[0]), ["POST", "GET", "GET", "POST"]);
  assert.deepEqual([seen[3].after, seen[3].body.client_message_id], ["j:0", "m1"]);
});

test("what stays broken is given up, sooner when nothing has ever come", async () => {
  play((response) => response.destroy());
  await assert.rejects(ask(), { code: "network" });
  assert.equal(seen.length, 4);
  seen.length = 0;
  play(breaks(token(0, "a")), (response) => response.destroy());
  await assert.rejects(ask(), { code: "network" });
  assert.equal(seen.length, 6);
  play((response) => response.end(": alive\n\n"));
  await assert.rejects(ask(), { code: "stream_ended" });
});

test("a failed turn is an answer, and stop is told to the server", async () => {
  play((response) => response.end('id: j:0\ndata: {"type":"failed","code":"x"}\n\n'));
  assert.equal((await ask()).length, 1);
  assert.equal(seen.length, 1);
  let told;
  const stopped = new Promise((resolve) => (told = resolve));
  script = (request, response) => {
    response.writeHead(204).end();
    told(`${request.method} ${request.url}`);
  };
  conversation.stop();
  assert.equal(await stopped, "POST /v1/sessions/s/stop");
});

test("questions at once share the session, which another key does not inherit", async () => {
  let made = 0;
  script = (request, response) => (isAsk(request) ? answer(response, "hi") : setTimeout(() => json(response, 201, { id: `s${(made += 1)}` }), 20));
  await Promise.all([ask(), conversation.restart(), ask()]);
  await ask();
  assert.equal(new Set(seen.filter(({ line }) => line.endsWith("/messages")).map(({ line }) => line)).size, made);
  conversation.changeKey("k2");
  const late = conversation.restart();
  conversation.changeKey("k3");
  await late;
  assert.equal(tab.get("session"), null);
});

test("a session that is not given can be waited for no longer", async () => {
  let held;
  script = (_, response) => (held = response);
  const controller = new AbortController();
  const reading = conversation.ask(newTurn("q", "m"), undefined, controller.signal).next();
  setTimeout(() => controller.abort(), 20);
  await assert.rejects(reading, { name: "AbortError" });
  held.destroy();
});

test("aborting closes the connection", async () => {
  tab.set("session", "s");
  const controller = new AbortController();
  let closed;
  const gone = new Promise((resolve) => (closed = resolve));
  script = (_, response) => {
    response.on("close", closed);
    response.write('data: {"type":"token","text":"a"}\n\n');
  };
  const reading = (async () => {
    for await (const event of conversation.ask(newTurn("q", "m"), undefined, controller.signal)) if (event) controller.abort();
  })();
  await assert.rejects(reading, { name: "AbortError" });
  await gone;
});

test("a reload finds the stored turns; a lost session is an empty one", async () => {
  tab.set("session", "s");
  script = (_, response) => json(response, 200, { id: "s", messages: [{ role: "user", content: "q" }, { role: "assistant", content: "a" }] });
  assert.deepEqual((await conversation.load()).map(({ question, text }) => [question, text]), [["q", "a"]]);
  script = (_, response) => refuse(response, 404, "session_not_found");
  assert.deepEqual(await conversation.load(), []);
  assert.equal(tab.get("session"), null);
});

test("a new conversation deletes the old session, and another key forgets it", async () => {
  tab.set("session", "old");
  script = (request, response) => (request.method === "DELETE" ? response.writeHead(204).end() : json(response, 201, { id: "new" }));
  await conversation.restart();
  assert.deepEqual(seen.map(({ line }) => line).sort(), ["DELETE /v1/sessions/old", "POST /v1/sessions"]);
  assert.equal(tab.get("session"), "new");
  assert.equal(conversation.changeKey("k"), false);
  assert.equal(tab.get("session"), "new");
  assert.equal(conversation.changeKey("k2"), true);
  assert.equal(tab.get("session"), null);
});
