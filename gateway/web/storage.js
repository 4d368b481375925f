/** A namespaced view of a Storage that keeps working, in memory, where the browser blocks storage. */
export class Store {
  #backing;
  #memory = new Map();

  /** `backing` returns a Storage; it may throw. */
  constructor(backing) {
    try {
      this.#backing = backing();
    } catch {
      this.#backing = null;
    }
  }

  get(name) {
    return this.#try((storage) => storage.getItem(`frontdesk.${name}`)) ?? this.#memory.get(name) ?? null;
  }

  set(name, value) {
    this.#memory.set(name, value);
    this.#try((storage) => storage.setItem(`frontdesk.${name}`, value));
  }

  remove(name) {
    this.#memory.delete(name);
    this.#try((storage) => storage.removeItem(`frontdesk.${name}`));
  }

  #try(use) {
    try {
      return this.#backing ? use(this.#backing) : null;
    } catch {
      return null;
    }
  }
}

/** Lives as long as the tab: the key, the session, the question under way. */
export const tab = new Store(() => sessionStorage);

/** Outlives the tab: theme and language. */
export const preferences = new Store(() => localStorage);
