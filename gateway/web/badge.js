import { element } from "./dom.js";
import { setText } from "./i18n.js";

const KEYS = new Map([
  ["faq", "badge.faq"],
  ["cache", "badge.cache"],
  ["abstained", "badge.abstained"],
]);

/** The key of what is said of an answer that the model did not write for its question; null where nothing is. */
export function badgeKey({ origin, degraded }) {
  return degraded ? "badge.degraded" : (KEYS.get(origin) ?? null);
}

/** The badge of a turn's answer, or null. */
export function badge(turn) {
  const key = badgeKey(turn);
  if (!key) return null;
  return setText(element("p", { className: "badge", dataset: { testid: "badge", origin: turn.origin } }), key);
}
