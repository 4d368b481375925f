import { Api, ApiError } from "./api.js";
import { tab } from "./storage.js";
import { turnsOf } from "./turn.js";

/** A stopped turn may hold its session for a moment; these waits, in milliseconds, outlast that. */
const CONFLICT_WAITS = [300, 900, 1800];

/**
 * An answer whose stream broke is taken up again after these waits, in milliseconds; each event that comes begins them
 * anew. Together they outlast a server that another one replaces.
 */
const RESUME_WAITS = [200, 500, 1000, 2000, 4000, 8000, 8000];

/** So many of them are waited for a server from which nothing has ever come. */
const FIRST_TRIES = 3;

/** What a server, or a proxy before it, answers while it is being replaced or has no room. */
const PASSING = new Set([429, 502, 503, 504]);

/** A new client_message_id. `crypto.randomUUID` is missing on plain HTTP, `getRandomValues` is not. */
export function freshId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const isLast = ({ type }) => type === "finished" || type === "failed";

/** Resolves after `ms` milliseconds; rejects when `signal` is aborted. */
async function pause(ms, signal) {
  await Promise.race([new Promise((resolve) => setTimeout(resolve, ms)), aborted(signal)]);
  signal.throwIfAborted();
}

function aborted(signal) {

  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

/** The tab's conversation with the gateway: one tenant key, one session, the question under way. */
export class Conversation {
  #base;
  #creating = null;
  #resumeWaits;

  constructor(base, resumeWaits = RESUME_WAITS) {
    this.#base = base;
    this.#resumeWaits = resumeWaits;
  }

  /** Takes another tenant key, and with it leaves the session: sessions belong to tenants. */
  changeKey(key) {
    if (key === tab.get("key")) return false;
    tab.set("key", key);
    this.#forget();
    return true;
  }

  /** The stored turns of the session; none if there is no session any more. */
  async load() {
    const session = tab.get("session");
    if (!session) return [];
    try {
      const { messages } = await this.#api().history(session);
      return turnsOf(messages, JSON.parse(tab.get("pending") ?? "null"), freshId);
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "session_not_found") throw error;
      this.#forget();
      return [];
    }
  }

  /** Deletes the session and begins another; if that fails, the next question tries again. */
  async restart() {
    const old = tab.get("session");
    this.#forget();
    if (old) this.#api().deleteSession(old).catch(() => {});
    await this.#session().catch(() => {});
  }

  /**
   * The events of the answer to `turn`. A lost session is replaced once, a busy one is waited for, and a stream that breaks
   * is taken up where it broke.
   */
  async *ask(turn, lang, signal) {
    tab.set("pending", JSON.stringify({ question: turn.question, id: turn.id }));
    const message = { content: turn.question, client_message_id: turn.id, ...(lang && { lang }) };
    let waits = this.#resumeWaits.slice(0, FIRST_TRIES);
    let [seen, broken] = [null, false];
    for (;;) {
      try {
        for await (const event of seen ? this.#goOn(message, seen, signal) : this.#begin(message, seen, signal)) {
          yield event;
          if (isLast(event)) return;
          seen = event.id || seen;
          waits = [...this.#resumeWaits];
        }
        throw new ApiError("stream_ended", "");
      } catch (error) {
        const resumable = error.code === "network" || error.code === "stream_ended" || (broken && PASSING.has(error.status));
        if (!resumable || !waits.length) throw error;
        broken = true;
      }
      await pause(waits.shift(), signal);
    }
  }

  /** Asks the server to stop the answer at once. */
  stop() {
    const session = tab.get("session");
    if (session) this.#api().stop(session).catch(() => {});
  }

  /** Reads on after the event `seen`. If the server has forgotten its turn, it knows the message by its id. */
  async *#goOn(message, seen, signal) {
    try {
      yield* this.#api().follow(tab.get("session") ?? "", seen, signal);
    } catch (error) {
      if (error.status !== 404) throw error;
      yield* this.#begin(message, seen, signal);
    }
  }

  async *#begin(message, seen, signal) {
    const waits = [...CONFLICT_WAITS];
    for (let replaced = false; ; ) {
      try {
        const session = await Promise.race([this.#session(), aborted(signal)]);
        yield* this.#api().ask(session, message, seen, signal);
        return;
      } catch (error) {
        if (error.code === "session_not_found" && !replaced) {
          replaced = true;
          tab.remove("session");
        } else if (error.code === "conflict" && waits.length) {
          await pause(waits.shift(), signal);
        } else throw error;
      }
    }
  }

  /** To be called once an answer is complete: a reload then has nothing to retry. */
  settle() {
    tab.remove("pending");
  }

  /** The session's id. One is created at a time, and one that comes after the key has changed is not kept. */
  async #session() {
    const stored = tab.get("session");
    if (stored) return stored;
    this.#creating ??= this.#api().createSession();
    const creating = this.#creating;
    try {
      const id = await creating;
      if (this.#creating === creating) tab.set("session", id);
      return id;
    } finally {
      if (this.#creating === creating) this.#creating = null;
    }
  }

  #api() {
    return new Api(this.#base, tab.get("key") ?? "");
  }

  #forget() {
    this.#creating = null;
    tab.remove("session");
    tab.remove("pending");
  }
}
