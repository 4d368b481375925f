import { readEvents } from "./sse.js";

/** The server sends a keep-alive comment far more often than this; longer silence is a dead connection. */
const SILENCE_MS = 90_000;

/** A request that failed: an error object of the server, or `network`, `stream_ended`, `bad_answer` of our own. */
export class ApiError extends Error {
  constructor(code, message, { status = 0, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { code, status, retryAfter });
  }
}

async function errorOf(response) {
  const body = await response.json().catch(() => null);
  const { code, message } = body?.error ?? {};
  const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  return new ApiError(code || `http_${response.status}`, message || response.statusText, {
    status: response.status,
    retryAfter: Number.isFinite(seconds) ? seconds : null,
  });
}

function parseEvent({ id, data }) {
  try {
    return { ...JSON.parse(data), id };
  } catch {
    throw new ApiError("bad_answer", "The server sent an event that is not JSON.");
  }
}

/** The gateway's session interface, for one tenant key. */
export class Api {
  #base;
  #key;

  /** `base` is the URL that `v1/` is relative to. */
  constructor(base, key) {
    this.#base = base;
    this.#key = key;
  }

  async createSession() {
    const response = await this.#request("POST", "v1/sessions");
    return (await response.json()).id;
  }

  /** `{id, created, lang, messages}`. */
  async history(session) {
    return (await this.#request("GET", `v1/sessions/${encodeURIComponent(session)}`)).json();
  }

  async deleteSession(session) {
    await this.#request("DELETE", `v1/sessions/${encodeURIComponent(session)}`, { keepalive: true });
  }

  /** Stops the turn that runs; what it said stays. */
  async stop(session) {
    await this.#request("POST", `v1/sessions/${encodeURIComponent(session)}/stop`, { keepalive: true });
  }

  /**
   * The events of the answer to `message` `{content, client_message_id, lang?}`, of a repeat those after the event id
   * `seen`. Aborting `signal` closes the connection.
   */
  ask(session, message, seen, signal) {
    const headers = { "Content-Type": "application/json", ...(seen && { "Last-Event-ID": seen }) };
    return this.#events("POST", `v1/sessions/${encodeURIComponent(session)}/messages`, { body: JSON.stringify(message), headers }, signal);
  }

  /** The events after the event id `seen`, `<turn>:<number>`; none when it was the last. */
  follow(session, seen, signal) {
    const turn = seen.slice(0, seen.lastIndexOf(":"));
    const path = `v1/sessions/${encodeURIComponent(session)}/turns/${encodeURIComponent(turn)}/events`;
    return this.#events("GET", path, { headers: { "Last-Event-ID": seen } }, signal);
  }

  async *#events(method, path, { headers, ...options }, signal) {
    const silence = new AbortController();
    let timer;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    };
    alive();
    try {
      const response = await this.#request(method, path, {
        ...options,
        headers: { Accept: "text/event-stream", ...headers },
        signal: AbortSignal.any([signal, silence.signal]),
      });
      if (!response.body) return;
      for await (const event of readEvents(response.body, alive)) yield parseEvent(event);
    } catch (error) {
      throw error instanceof ApiError || signal.aborted ? error : new ApiError("network", String(error));
    } finally {
      clearTimeout(timer);
    }
  }

  async #request(method, path, { headers, ...options } = {}) {
    let response;
    try {
      response = await fetch(new URL(path, this.#base), {
        method,
        cache: "no-store",
        credentials: "omit",
        headers: { Authorization: `Bearer ${this.#key}`, ...headers },
        ...options,
      });
    } catch (error) {
      throw error.name === "AbortError" ? error : new ApiError("network", String(error));
    }
    if (!response.ok) throw await errorOf(response);
    return response;
  }
}
