import assert from "node:assert/strict";
import { test } from "node:test";
import { visitKey } from "../key.js";

test("the address's key wins and leaves the address, with the rest of it kept", () => {
  const visit = visitKey("http://127.0.0.1:8080/?a=1&key=k1#x", "stored");
  assert.deepEqual(visit, { key: "k1", address: "http://127.0.0.1:8080/?a=1#x" });
});

test("then the stored key, then on loopback hosts the demo key, then none", () => {
  assert.deepEqual(visitKey("https://desk.example/", "stored"), { key: "stored", address: null });
  for (const host of ["localhost", "127.0.0.1", "127.9.0.1", "[::1]", "a.localhost"]) {
    assert.equal(visitKey(`http://${host}:8080/`, null).key, "demo-key", host);
  }
  for (const host of ["desk.example", "127.0.0.1.example", "localhost.example"]) {
    assert.equal(visitKey(`http://${host}/`, null).key, null, host);
  }
});
