// Tests of the parts of the pages that need no browser: `node test/unit.mjs`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { load } from "./browser/load.mjs";

const src = join(dirname(fileURLToPath(import.meta.url)), "..", "src");

const { cacheState, parseCacheStatus } = await load(join(src, "cache_status.ts"));
const { bitrate, plural, protocolName, size } = await load(join(src, "text.ts"));
const { tally } = await load(join(src, "segments.ts"));

test("Cache-Status lists caches from the origin to the viewer (RFC 9211 section 2)", () => {
  const members = parseCacheStatus('shield; fwd=uri-miss; fwd-status=200; stored, "edge, 1"; hit; ttl=30; detail="a;b\\"c"');
  assert.deepEqual(members.map((each) => each.cache), ["shield", "edge, 1"]);
  assert.equal(members[0].params.get("fwd"), "uri-miss");
  assert.equal(members[1].params.get("hit"), true);
  assert.equal(members[1].params.get("detail"), 'a;b"c');
});

test("the nearest cache decides the state", () => {
  const cases = [
    ["shield; hit, edge; fwd=uri-miss; stored", "miss"],
    ["shield; fwd=uri-miss, edge; hit; ttl=5", "hit"],
    ["edge; hit; ttl=-3", "stale"],
    ["edge; fwd=uri-miss; collapsed", "collapsed"],
    ["edge; fwd=uri-miss; collapsed=?0", "miss"],
    ["edge; fwd=stale; fwd-status=304", "revalidated"],
    ["edge; fwd=bypass", "miss"],
    ["edge", "unknown"],
    [";;,,\"", "unknown"],
    ["", "unknown"],
    [undefined, "unknown"],
  ];
  for (const [header, state] of cases) assert.equal(cacheState(header), state, String(header));
});

test("segments that the browser had itself count for no cache", () => {
  const segment = (cacheStatus, local = false) => ({ url: "", protocol: "h3", bytes: 1, ms: 1, cacheStatus, local });
  const counts = tally([segment("e; hit"), segment("e; hit", true), segment("e; fwd=miss"), segment("")]);
  assert.deepEqual(Object.fromEntries(counts), { hit: 1, miss: 1, unknown: 1 });
});

test("figures read as people write them", () => {
  assert.equal(protocolName("h3"), "HTTP/3");
  assert.equal(protocolName(""), "unknown");
  assert.equal(bitrate(2_400_000), "2.4 Mbit/s");
  assert.equal(bitrate(96_000), "96 kbit/s");
  assert.equal(bitrate(undefined), "–");
  assert.equal(bitrate(Number.NaN), "–");
  assert.equal(size(512), "512 B");
  assert.equal(size(3 * 1024 * 1024), "3.0 MiB");
  assert.equal(plural(1, "video"), "1 video");
  assert.equal(plural(1200, "video"), "1,200 videos");
});
