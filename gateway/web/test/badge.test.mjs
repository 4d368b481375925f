import assert from "node:assert/strict";
import { test } from "node:test";
import { badgeKey } from "../badge.js";

test("a badge tells of what the model did not write", () => {
  const keys = ["model", "faq", "cache", "abstained", "courtesy", "later"].map((origin) => badgeKey({ origin, degraded: false }));
  assert.deepEqual(keys, [null, "badge.faq", "badge.cache", "badge.abstained", null, null]);
  assert.equal(badgeKey({ origin: "faq", degraded: true }), "badge.degraded");
});
