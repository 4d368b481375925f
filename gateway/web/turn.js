/**
 * One question and its answer, as a value. `phase` goes searching → reading → writing, then ends as done, failed or
 * stopped. `id` is the client_message_id: the server answers an id once, however often it is sent.
 */
export function newTurn(question, id) {
  return { question, id, phase: "searching", text: "", citations: [], finishReason: null, failure: null, seen: null, ...FROM_MODEL };
}

/** An answer that the model wrote for its question. */
const FROM_MODEL = { origin: "model", degraded: false };

const ENDED = new Set(["done", "failed", "stopped"]);

export function isOver(turn) {
  return ENDED.has(turn.phase);
}

/** The turn after a server event; events that come after the end, or that are unknown, change nothing. */
export function reduce(turn, event) {
  if (isOver(turn)) return turn;
  switch (event.type) {
    case "retrieved":
      return { ...turn, phase: turn.text ? turn.phase : "reading", citations: event.citations ?? [] };
    case "token":
      return token(turn, event);
    case "finished":
      return finished(turn, event);
    case "failed":
      return fail(turn, event);
    default:
      return turn;
  }
}

/** Sequence numbers rise within an attempt; when they fall, another worker began the answer anew. */
function token(turn, event) {
  const [, job, seq] = /^(.*):(\d+)$/.exec(event.id ?? "") ?? [];
  const again = turn.seen !== null && turn.seen.job === job && Number(seq) < turn.seen.seq;
  const seen = job === undefined ? turn.seen : { job, seq: Number(seq) };
  return { ...turn, phase: "writing", text: (again ? "" : turn.text) + event.text, seen };
}

function finished(turn, event) {
  return {
    ...turn,
    phase: event.finish_reason === "cancelled" ? "stopped" : "done",
    text: event.text ?? turn.text,
    citations: event.citations ?? turn.citations,
    finishReason: event.finish_reason ?? null,
    ...from(event),
  };
}

/** Where an answer is from, by the event or the record that tells of it. */
function from({ origin = "model", degraded = false }) {
  return { origin, degraded };
}

/** The turn after a failure `{code, message, retryAfter?}`; what was written stays. */
export function fail(turn, { code, message, retryAfter = null }) {
  return isOver(turn) ? turn : { ...turn, phase: "failed", failure: { code, message, retryAfter } };
}

/** The turn after its reader stopped it. */
export function stop(turn) {
  return isOver(turn) ? turn : { ...turn, phase: "stopped" };
}

/**
 * A session's stored messages as turns. `pending` `{question, id}` is the question that was under way when the page
 * was left, or null: unless its answer is stored, it comes last, as a failed turn that can be retried with its id.
 */
export function turnsOf(messages, pending, freshId) {
  const turns = [];
  for (const { role, content, citations, turn } of messages) {
    if (role === "user") turns.push({ ...newTurn(content, freshId()), phase: "stopped" });
    else if (role === "assistant") Object.assign(unanswered(turns, freshId), { phase: "done", text: content, citations: citations ?? [], ...from(turn ?? {}) });
  }
  if (!pending) return turns;
  if (turns.at(-1)?.question !== pending.question) turns.push(interrupted(pending));
  else if (turns.at(-1).phase !== "done") turns[turns.length - 1] = interrupted(pending);
  return turns;
}

function interrupted({ question, id }) {
  return fail(newTurn(question, id), { code: "interrupted", message: "" });
}

/** The last turn if it waits for an answer, or a new one without a question. */
function unanswered(turns, freshId) {
  if (turns.at(-1)?.phase !== "stopped") turns.push({ ...newTurn(null, freshId()), phase: "stopped" });
  return turns.at(-1);
}
