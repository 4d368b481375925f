const DEMO_KEY = "demo-key";

function isLoopback(hostname) {
  return hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
}

/**
 * The tenant key of a visit: the address's `?key=`, else the `stored` one, else the demo key on loopback hosts, else
 * null. `address` is the address without the key, which must not stay in the history, or null if it has none.
 */
export function visitKey(href, stored) {
  const url = new URL(href);
  const given = url.searchParams.get("key")?.trim();
  const named = url.searchParams.has("key");
  url.searchParams.delete("key");
  const key = given || stored || (isLoopback(url.hostname) ? DEMO_KEY : null);
  return { key, address: named ? url.href : null };
}

/** Whether the key is the one that comes with the demo tenant's knowledge. */
export function isDemo(key) {
  return key === DEMO_KEY;
}
