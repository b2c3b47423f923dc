// Tests of the parts of the pages that need no browser: `node test/unit.mjs`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { load } from "./browser/load.mjs";

const src = join(dirname(fileURLToPath(import.meta.url)), "..", "src");

const { cacheState, parseCacheStatus } = await load(join(src, "cache_status.ts"));
const { bitrate, clock, plural, protocolName, size } = await load(join(src, "text.ts"));
const { tally } = await load(join(src, "segments.ts"));
const { noteSubject, trackFacts, trackName } = await load(join(src, "report.ts"));

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
  assert.equal(clock(0), "0:00");
  assert.equal(clock(59_600), "1:00");
  assert.equal(clock(3_723_000), "1:02:03");
  assert.equal(plural(1, "video"), "1 video");
  assert.equal(plural(1200, "video"), "1,200 videos");
});

test("tracks and notes are told in words", () => {
  const picture = { kind: "video", coding: "avc", display_height: 1080, video_range: "SDR", peak_bits_per_s: 4_200_000 };
  assert.equal(`${trackName(picture)} ${trackFacts(picture)}`, "1080p H.264 · 4.2 Mbit/s");
  assert.equal(trackName({ ...picture, video_range: "PQ" }), "1080p HDR");
  const sound = { kind: "audio", coding: "aac", channels: 2, language: "de" };
  assert.equal(`${trackName(sound)} ${trackFacts(sound)}`, "German AAC · stereo");
  assert.equal(trackName({ ...sound, name: "Kommentar" }), "Kommentar");
  assert.equal(trackName({ ...sound, language: null }), "Sound");
  assert.equal(trackName({ ...sound, language: "no tag" }), "no tag");
  assert.equal(noteSubject({ source: 1, track: 3 }, true), "Source 2, track 3");
  assert.equal(noteSubject({ source: 0, track: 3 }, false), "Track 3");
  assert.equal(noteSubject({ source: 0 }, false), "");
});
