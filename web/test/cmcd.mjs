// Prints CMCD as @svta/cml-cmcd writes and reads it, for the Rust test that compares ours with it: a line of JSON for
// each vector. `crates/proto/tests/cmcd.rs` starts it; the numbers are drawn by a generator with a fixed beginning.
//
//   node test/cmcd.mjs NUMBER [SEED]
import { decodeCmcd, encodeCmcd, fromCmcdHeaders, fromCmcdQuery, toCmcdHeaders, toCmcdQuery, toCmcdValue } from "@svta/cml-cmcd";

const [count = "200", seed = "1"] = process.argv.slice(2);

/** mulberry32. */
function generator(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const random = generator(Number(seed));
const below = (bound) => Math.floor(random() * bound);
const one = (list) => list[below(list.length)];
const TEXTS = ["6e2fb550-c457-11e9", 'a"b\\c', "a,b;c=d (x)", "%41%zz", " ", "film/7", "a".repeat(64)];
const PATHS = ["../300kbps/seg 35.m4v", "seg-4.m4s?a=b&c=d", "/abs/a.m4s", "v1/1.m4s", "a%20b.m4s"];
/** Tokens, with what ours calls them. */
const OBJECTS = {
  m: "Manifest", a: "Audio", v: "Video", av: "Muxed", i: "Init", c: "Caption", tt: "TimedText", k: "Key", o: "Other",
};
const STATES = {
  s: "Starting", p: "Playing", k: "Seeking", r: "Rebuffering", a: "Paused", w: "Waiting", e: "Ended", f: "Failed",
  q: "Quit", d: "Preloading",
};
const EVENTS = { ps: "State", e: "Error", t: "Interval", c: "Content", bc: "Bitrate", rr: "Response", m: "Other", ce: "Other" };
const number = () => one([0, 1, below(1000), below(100_000), below(99_000_000), below(100_000) + 0.6]);
const numbers = () => one([[number()], [toCmcdValue(number(), { v: true }), toCmcdValue(number(), { a: true })]]);
const range = () => one([`${below(1000)}-${1000 + below(1000)}`, `${below(1000)}-`]);
const next = () => one([() => one(PATHS), () => toCmcdValue(one(PATHS), { r: range() })])();

/** Each key with what it may be. */
const KEYS = {
  sid: () => one(TEXTS), cid: () => one(TEXTS), bl: numbers, mtp: numbers, br: numbers, tb: numbers, rtp: numbers,
  d: number, dl: numbers, nor: () => Array.from({ length: 1 + below(3) }, next), ot: () => one(Object.keys(OBJECTS)), sf: () => one(["d", "h", "s", "o"]),
  st: () => one(["v", "l", "ll"]), su: () => true, bs: () => true, pr: () => one([0, 1, 1.25]), "com.example-x": () => one([7, "y", true]),
  ltc: number, sta: () => one(Object.keys(STATES)), msd: number, bsd: () => [number()], ec: () => Array.from({ length: 1 + below(3) }, () => one(["E1", 'x"y', "2003"])),
};

function data() {
  const drawn = {};
  for (const [key, value] of Object.entries(KEYS)) if (random() < 0.4) drawn[key] = value();
  return drawn;
}

/** Of a number that may be several, the largest, whole: what an edge keeps of it. */
function most(value) {
  if (value === undefined) return null;
  return Math.max(...[value].flat().map((each) => Math.floor(each.value ?? each)));
}

const bare = (item) => item?.value ?? item;

/** What the library read, in the words of the Rust test. */
function told(read, version) {
  const list = (value) => (value === undefined ? [] : [value].flat());
  const reference = (text) => (version === 1 ? decodeURIComponent(text) : text);
  const next = list(read.nor).map((item) => ({ reference: reference(bare(item)), range: item.params?.r ?? null }));
  if (version === 1 && read.nrr !== undefined) {
    if (next.length === 0) next.push({ reference: "", range: read.nrr });
    else next[0].range = read.nrr;
  }
  return {
    version: read.v ?? null, session: read.sid ?? null, content: read.cid ?? null, buffer: most(read.bl), throughput: most(read.mtp),
    bitrate: most(read.br), top_bitrate: most(read.tb), duration: most(read.d), max_rate: most(read.rtp), next, object: OBJECTS[read.ot] ?? null,
    format: read.sf ?? null, live: read.st === undefined ? null : read.st !== "v", startup: read.su ?? false, starved: read.bs ?? false,
    state: STATES[read.sta] ?? null, event: EVENTS[read.e] ?? null, at: read.ts ?? null, startup_delay: most(read.msd), starved_for: most(read.bsd),
    latency: most(read.ltc), errors: list(read.ec).map(bare),
  };
}

for (let drawn = 0; drawn < Number(count); drawn++) {
  const version = one([1, 2]);
  const isReport = version === 2 && random() < 0.3;
  const options = { version, ...(isReport ? { reportingMode: "event" } : {}) };
  const all = isReport ? { ...data(), e: one(Object.keys(EVENTS)), ts: 1764752370000 + below(1e9) } : data();
  const text = encodeCmcd(all, options);
  if (text === "") continue;
  const [query, fields] = [toCmcdQuery(all, options), toCmcdHeaders(all, options)];
  const read = told(decodeCmcd(text), version);
  // The library agrees with itself.
  for (const again of [fromCmcdQuery(query), fromCmcdHeaders(fields)]) {
    if (JSON.stringify(told(again, version)) !== JSON.stringify(read)) throw new Error(`read otherwise: ${text}`);
  }
  console.log(JSON.stringify({ text, query, fields: Object.values(fields), report: isReport, told: read }));
}
