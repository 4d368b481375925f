import assert from "node:assert/strict";
import { test } from "node:test";
import { fail, isOver, newTurn, reduce, stop, turnsOf } from "../turn.js";

const CITATIONS = [{ number: 1, document: "d", title: "t", passage: "p", score: 1 }];
const play = (events) => events.reduce(reduce, newTurn("q", "m1"));
const token = (text, id) => ({ type: "token", text, id });

test("a turn searches, reads, writes and is done with the server's final text", () => {
  const phases = [];
  let turn = newTurn("q", "m1");
  const finished = { type: "finished", text: "Hello.", finish_reason: "stop", citations: CITATIONS };
  for (const event of [{ type: "retrieved", citations: CITATIONS }, token("Hel", "j:1"), token("lo", "j:2"), finished]) {
    phases.push(turn.phase);
    turn = reduce(turn, event);
  }
  assert.deepEqual(phases, ["searching", "reading", "writing", "writing"]);
  assert.deepEqual([turn.phase, turn.text, turn.citations], ["done", "Hello.", CITATIONS]);
});

test("an answer begun anew by another worker replaces the first beginning", () => {
  assert.equal(play([token("A", "j:1"), token("B", "j:2"), token("a", "j:1"), token("b", "j:2")]).text, "ab");
  assert.equal(play([token("A", "j:5"), token("B", "k:1")]).text, "AB");
});

test("a failure keeps what was written; nothing changes a turn that is over", () => {
  const failed = play([token("A", "j:1"), { type: "failed", code: "engine_failed", message: "m" }]);
  assert.deepEqual([failed.phase, failed.text, failed.failure.code], ["failed", "A", "engine_failed"]);
  assert.equal(stop(failed), failed);
  assert.equal(reduce(failed, token("B", "j:2")), failed);
  assert.equal(fail(stop(newTurn("q", "m")), { code: "x" }).phase, "stopped");
  assert.ok(isOver(failed));
});

test("a cancelled generation is a stopped turn, unknown events are passed over", () => {
  assert.equal(play([{ type: "finished", text: "A", finish_reason: "cancelled" }]).phase, "stopped");
  assert.equal(play([{ type: "started" }]).phase, "searching");
});

test("where an answer is from is kept, live and stored", () => {
  const finished = { type: "finished", text: "A", finish_reason: "stop", origin: "faq" };
  assert.deepEqual([play([finished]).origin, play([finished]).degraded], ["faq", false]);
  assert.equal(play([{ ...finished, origin: undefined }]).origin, "model");
  const turn = { origin: "abstained", degraded: true };
  const [stored] = turnsOf([{ role: "user", content: "q" }, { role: "assistant", content: "a", turn }], null, fresh);
  assert.deepEqual([stored.origin, stored.degraded], ["abstained", true]);
});

const HISTORY = [
  { role: "user", content: "q1" },
  { role: "assistant", content: "a1", citations: CITATIONS },
  { role: "user", content: "q2" },
];
const fresh = () => "fresh";

test("stored messages become turns", () => {
  const [first, second] = turnsOf(HISTORY, null, fresh);
  assert.deepEqual([first.phase, first.question, first.text, first.citations], ["done", "q1", "a1", CITATIONS]);
  assert.deepEqual([second.phase, second.question, second.text], ["stopped", "q2", ""]);
});

test("a question under way when the page was left keeps its id, stored or not", () => {
  for (const messages of [HISTORY, HISTORY.slice(0, 2)]) {
    const turns = turnsOf(messages, { question: "q2", id: "m2" }, fresh);
    assert.equal(turns.length, 2);
    assert.deepEqual([turns[1].phase, turns[1].id, turns[1].failure.code], ["failed", "m2", "interrupted"]);
  }
});

test("a question that was answered meanwhile is not offered again", () => {
  const turns = turnsOf([...HISTORY, { role: "assistant", content: "a2" }], { question: "q2", id: "m2" }, fresh);
  assert.deepEqual(turns.map(({ phase }) => phase), ["done", "done"]);
});

test("an answer without a question stands alone", () => {
  const turns = turnsOf([{ role: "assistant", content: "Hi" }, { role: "assistant", content: "there" }], null, fresh);
  assert.deepEqual(turns.map(({ question, text }) => [question, text]), [[null, "Hi"], [null, "there"]]);
});
