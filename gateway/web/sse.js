/** An event longer than this is an error: nothing may grow without end. */
const MAX_EVENT_CHARS = 1 << 20;

/** Turns pieces of an event stream (WHATWG HTML §9.2) into events `{id, event, data}`. */
export class SseParser {
  #rest = "";
  #data = [];
  #size = 0;
  #event = "";
  #id = "";

  /** The events that `text`, the stream's next piece, completes. Throws a RangeError on an oversized event. */
  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    const events = lines.map((line) => this.#line(line)).filter(Boolean);
    if (this.#rest.length + this.#size > MAX_EVENT_CHARS) throw new RangeError("event too long");
    return events;
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#append(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }

  #append(value) {
    this.#data.push(value);
    this.#size += value.length;
  }

  #dispatch() {
    const event = { id: this.#id, event: this.#event || "message", data: this.#data.join("\n") };
    const complete = this.#data.length > 0;
    this.#data = [];
    this.#size = 0;
    this.#event = "";
    return complete ? event : null;
  }
}

/**
 * The events of a response body. `alive` is called at every piece that arrives, keep-alive comments included.
 * Leaving the loop cancels the body.
 */
export async function* readEvents(body, alive = () => {}) {
  const parser = new SseParser();
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      yield* parser.push(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
