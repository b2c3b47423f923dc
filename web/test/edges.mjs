// The test of two edges: hls.js and Shaka Player play side by side through two edges that share a shield and a
// packager, with tokens in the path, CMCD of version 2, and content steering. One more session is too much for the
// first edge; both players have to move to the second within one TTL and without a stall, and what they counted has to
// be what the edges' session views, metrics and live pages tell.
//
//   HEADWATER_STACK   path of the reference-stack binary
//                     (else $CARGO_TARGET_DIR/debug/examples/reference-stack)
//   CHROMIUM          the browser (else /usr/bin/chromium)
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { readMetrics } from "./browser/metrics.mjs";
import { findBinary, Stack } from "./browser/stack.mjs";
import { Results } from "./browser/tap.mjs";
import { Viewer } from "./browser/viewer.mjs";
import { sign, steeredMpd, steeredPlaylist } from "./edges/manifests.mjs";
import { open } from "./edges/page.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const LIMIT_MS = 5 * 60_000;
const STEP_MS = 60_000;
const SECRET = "a secret of thirty-two bytes, or more";
/** Segments are of two seconds: players ask for two in each TTL. */
const TTL = 4;
const PATHWAYS = ["a", "b"];
const PLAYERS = ["hls", "dash"];
/** What Chromium sends: the edge answers a text in the coding that it likes best of them. */
const CODINGS = "gzip, deflate, br, zstd";
/** What the test serves has no address, and Chromium would not let it ask this machine's other edge. */
const OTHER_ORIGINS = "--disable-features=LocalNetworkAccessChecks";
const results = new Results();

async function main() {
  const binary = await findBinary(process.env);
  const folder = await mkdtemp(join(tmpdir(), "headwater-edges-"));
  const stacks = [];
  const watchdog = setTimeout(() => {
    console.log(`not ok - the run ends within ${LIMIT_MS / 60_000} minutes`);
    for (const stack of stacks) stack.child.kill("SIGKILL");
    process.exit(1);
  }, LIMIT_MS);
  const start = async (name, ...more) => {
    const stack = await Stack.start(binary, { folder: join(folder, name), web: join(here, "..", "dist"), inputs: [], more });
    stacks.push(stack);
    return stack;
  };
  try {
    const [film, secret] = [join(folder, "film.mp4"), join(folder, "secret")];
    await makeFilm(film);
    await writeFile(secret, SECRET);
    const packager = await start("packager", "--role", "packager", "--input", film);
    const shield = await start("shield", "--role", "shield", "--upstream", packager.facts.http);
    // prettier-ignore
    const edge = (pathway) => start(
      pathway, "--role", "edge", "--upstream", shield.facts.http, "--token-secret", secret, "--edge-name", pathway, "--cmsd",
      "--pathways", PATHWAYS.join(), "--pathway", pathway, "--steer-above", String(PLAYERS.length), "--steer-ttl", String(TTL),
    );
    const edges = { a: await edge("a"), b: await edge("b") };
    // Asked of an edge, they would be a session of their own.
    const text = async (name) => (await fetch(new URL(`/film/${name}`, packager.facts.http))).text();
    const made = { playlist: await text("main.m3u8"), mpd: await text("manifest.mpd") };
    await results.group("two edges", () => twoEdges(edges, made));
  } finally {
    for (const stack of stacks.toReversed()) {
      const ended = await stack.stop();
      results.check(ended === "code 0", "a stack drains and exits with 0", ended);
      if (results.failed > 0) results.note(`the end of its log:\n${(await stack.logTail()).replace(/^/gm, "#   ")}`);
    }
    clearTimeout(watchdog);
    await rm(folder, { recursive: true, force: true });
  }
}

/** Two minutes, in small pictures. */
async function makeFilm(path) {
  // prettier-ignore
  await promisify(execFile)("ffmpeg", [
    "-v", "error", "-nostdin", "-y",
    "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=120",
    "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=120",
    "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", "800k", "-g", "50", "-keyint_min", "50",
    "-sc_threshold", "0", "-c:a", "aac", path,
  ], { timeout: 120_000 });
}

async function twoEdges(edges, made) {
  const token = sign(SECRET, "/media/", 3600);
  const folder = (base) => `${base}/t/${token}/media/film/`;
  const plain = (stack, name) => new URL(name, folder(stack.facts.http));
  const { status } = await fetch(`${edges.a.facts.http}/media/film/main.m3u8`);
  results.check(status === 401, "an edge wants a token", status);

  const bases = PATHWAYS.map((pathway) => [pathway, folder(edges[pathway].facts.base)]);
  const steering = `${edges.a.facts.base}/steering`;
  const manifests = {
    "main.m3u8": ["application/vnd.apple.mpegurl", steeredPlaylist(made.playlist, bases, steering)],
    "manifest.mpd": ["application/dash+xml", steeredMpd(made.mpd, bases, steering)],
  };
  const spki = PATHWAYS.map((pathway) => edges[pathway].facts.spki_sha256).join();
  const viewer = await Viewer.open({ facts: { spki_sha256: spki }, port: edges.a.port }, "h2", [OTHER_ORIGINS]);
  try {
    const { page } = viewer;
    const posts = { messages: 0, reports: 0 };
    page.on("request", (request) => {
      if (request.method() !== "POST" || request.url() !== String(new URL("/cmcd", edges.a.facts.base))) return;
      posts.messages++;
      posts.reports += (request.postData() ?? "").split("\n").filter((line) => line.trim()).length;
    });
    await open(page, edges.a.facts.base, manifests);
    await page.evaluate(play);
    const state = () => page.evaluate(() => window.site.state());
    const until = async (what, condition) => {
      const end = Date.now() + STEP_MS;
      for (;;) {
        const now = await state();
        const errors = PLAYERS.flatMap((player) => now[player]?.errors ?? []);
        if (errors.length > 0) throw new Error(errors.join("; "));
        if (PLAYERS.every((player) => now[player]) && (await condition(now))) return now;
        if (Date.now() > end) throw new Error(`not within ${STEP_MS / 1000} s: ${what}; ${short(now)}`);
        await sleep(100);
      }
    };
    const steered = (one) => one.log.filter(({ kind, phase }) => kind === "steering" && phase === "came");
    await until("both play from the first edge", (now) =>
      PLAYERS.every((player) => now[player].time > 3 && now[player].buffered > 4 && steered(now[player]).length > 0),
    );
    const first = await state();
    for (const player of PLAYERS) {
      const from = origins(first[player].log);
      results.check(from.size === 1 && from.has(edges.a.facts.base), `${player} begins at the pathway that is first`, [...from]);
    }

    // One more viewer than the first edge wants to have.
    const third = new URL("v1.m3u8?CMCD=sid%3D%22third%22", folder(edges.a.facts.http));
    results.check((await fetch(third)).ok, "a third session begins at the first edge");
    await until("both were told to move, and asked for segments and again for where to go", (now) =>
      PLAYERS.every((player) => after(now[player].log, edges.b.facts.base).nextAsk),
    );
    const moved = await state();
    for (const player of PLAYERS) {
      const { told, here, there } = after(moved[player].log, edges.b.facts.base);
      results.check(told && there > 0, `${player} moves within one TTL: ${there} segments from the other edge, ${here} from the first`);
    }
    const more = await until("both play on from the second edge", (now) =>
      PLAYERS.every((player) => now[player].time > moved[player].time + TTL),
    );
    for (const player of PLAYERS) {
      const late = more[player].log.slice(moved[player].log.length).filter(({ kind, phase }) => kind === "segment" && phase === "asked");
      const back = late.filter(({ origin }) => origin === edges.a.facts.base);
      results.check(late.length > 0 && back.length === 0, `${player} asks for ${late.length} segments at the second edge alone`, back.length);
      results.check(more[player].stalls === 0 && more[player].frames > 0, `${player} does not stall`, more[player].stalls);
      results.check(more[player].log.every(({ kind, phase, told }) => told || phase !== "came" || kind === "steering"), `${player} tells of itself with every request`);
    }
    await page.evaluate(() => window.site.pause());
    await agree(viewer, edges, until, () => ({ ...posts }), plain);
  } finally {
    await viewer.close();
  }
}

/** Runs in the page: both players begin. */
function play() {
  const events = ["ps", "t", "e", "bc"];
  const at = (path) => new URL(path, location).href;
  const url = at("/cmcd");
  window.site.hls("hls", at("main.m3u8"), {
    version: 2, sessionId: "session-hls", contentId: "by-hls", eventTargets: [{ url, events, interval: 2 }],
  });
  return window.site.dash("dash", at("manifest.mpd"), {
    enabled: true, version: 2, sessionId: "session-dash", contentId: "by-dash",
    eventTargets: [{ mode: "event", enabled: true, url, events, interval: 2 }],
  });
}

/** Where segments came from. */
const origins = (log) => new Set(log.filter(({ kind, phase }) => kind === "segment" && phase === "came").map(({ origin }) => origin));

/** Between the first answer that puts the other edge first and the next time a player asks: within one TTL. */
function after(log, other) {
  const told = log.findIndex(({ order }) => order?.[0] === "b");
  if (told < 0) return {};
  const rest = log.slice(told + 1);
  const asks = rest.findIndex(({ kind, phase }) => kind === "steering" && phase === "asked");
  const within = (asks < 0 ? rest : rest.slice(0, asks)).filter(({ kind, phase }) => kind === "segment" && phase === "asked");
  const there = within.filter(({ origin }) => origin === other).length;
  return { told: true, nextAsk: asks >= 0, there, here: within.length - there };
}

const short = (now) => JSON.stringify(now, (key, value) => (key === "log" ? value.slice(-12) : value));

/** What the players counted is what both edges tell, in the view of sessions, in the metrics and on the page. */
async function agree(viewer, edges, until, posts, plain) {
  const sizes = await playlistSizes(await until("players stand still", () => true), edges, plain);
  let seen;
  await until("players and edges have counted the same", async (now) => {
    seen = { now, told: {}, posts: posts(), sizes };
    for (const pathway of PATHWAYS) seen.told[pathway] = await tell(edges[pathway]);
    return PATHWAYS.every((pathway) => figures(seen, edges, pathway).every(([, counted, told]) => same(counted, told)));
  }).catch((error) => results.note(`${error.message.slice(0, 300)}`));
  for (const pathway of PATHWAYS) {
    for (const [what, counted, told] of figures(seen, edges, pathway)) {
      results.check(same(counted, told), `edge ${pathway}: ${what}: ${spelt(counted)}`, `the edge tells ${told}`);
    }
    await livePage(viewer, edges[pathway], pathway, seen);
  }
  for (const player of PLAYERS) {
    const aborted = seen.now[player].log.filter(({ phase }) => phase === "aborted").length;
    if (aborted > 0) results.note(`${player} gave up ${aborted} requests`);
  }
}

/** How many bytes of each playlist come: they are compressed on their way to a browser, which undoes it before it counts. */
async function playlistSizes(now, edges, plain) {
  const sizes = {};
  for (const edge of Object.values(edges)) {
    for (const { path } of PLAYERS.flatMap((player) => came({ now }, player, edge)).filter(({ kind }) => kind === "manifest")) {
      const asked = { method: "HEAD", headers: { "accept-encoding": CODINGS } };
      const { headers } = await fetch(plain(edge, path.split("/").pop()), asked);
      sizes[edge.facts.base + path] = Number(headers.get("content-length"));
    }
  }
  return sizes;
}

/** What an edge tells its operator. */
async function tell(edge) {
  const sessions = await (await fetch(new URL("/sessions", edge.facts.metrics))).json();
  return { sessions, metrics: await readMetrics(edge.facts.metrics) };
}

/** What `player` counted of what came from an edge. */
const came = (seen, player, edge) => seen.now[player].log.filter(({ phase, origin }) => phase === "came" && origin === edge.facts.base);

/** Whether an edge tells what a player counted or, of what it measured, something between two bounds. */
const same = (counted, told) =>
  counted?.least === undefined ? counted === told && counted !== undefined : told >= counted.least && told <= counted.most;

const spelt = (counted) => (counted?.least === undefined ? counted : `${counted.least.toFixed(1)} to ${counted.most.toFixed(1)}`);

/** Bounds that are so much wider on either side. */
const widened = ({ least, most }, by) => ({ least: least - by, most: most + by });

/** What a bit rate becomes that is told as a whole number of kbit/s, as CMCD has it. */
const rounded = (kbps) => widened({ least: kbps, most: kbps }, 0.5);

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

const session = (seen, pathway, player) => seen.told[pathway].sessions.sessions.find(({ id }) => id === `session-${player}`);

/**
 * Between what a player measured from its viewer's wish to play to its playing, in milliseconds: at the edge where it began.
 * Clocks are read in whole milliseconds, at both ends.
 */
const startup = (seen, pathway, player) => (pathway === "a" ? widened(seen.now[player].startup, 1) : null);

/** The bit rates of pictures that a player asked an edge for, in kbit/s, each as often as it changed. */
const changes = (seen, edge, player) =>
  seen.now[player].log
    .filter(({ phase, origin, kbps }) => phase === "asked" && origin === edge.facts.base && kbps !== undefined)
    .map(({ kbps }) => kbps)
    .filter((kbps, at, all) => kbps !== all[at - 1]);

/** Of each figure what it is, what the players counted, and what the edge tells. */
function figures(seen, edges, pathway) {
  const { metrics } = seen.told[pathway];
  const list = [];
  let all = 0;
  let allBytes = 0;
  let media = 0;
  for (const player of PLAYERS) {
    const mine = came(seen, player, edges[pathway]);
    const told = mine.filter(({ kind }) => kind !== "steering");
    list.push([`requests of ${player}, by its session`, told.length, session(seen, pathway, player)?.requests]);
    list.push([`stalls of ${player}, by its session`, seen.now[player].stalls, session(seen, pathway, player)?.rebuffers]);
    const bytes = (each) => sum(each.map(({ kind, origin, path, bytes }) => (kind === "manifest" ? seen.sizes[origin + path] : bytes)));
    list.push([`bytes of ${player}, by its session`, bytes(told), session(seen, pathway, player)?.bytes]);
    list.push([`kbit/s of ${player}, by its session`, rounded(seen.now[player].kbps), session(seen, pathway, player)?.bitrate_kbps]);
    list.push([`milliseconds until ${player} played, by its session`, startup(seen, pathway, player), session(seen, pathway, player)?.startup_ms]);
    all += mine.length;
    allBytes += bytes(mine);
    media += told.length;
  }
  // The third viewer came by HTTP/1.1.
  const third = pathway === "a" ? 1 : 0;
  const here = pathway === "a" ? seen.posts : { messages: 0, reports: 0 };
  const steered = sum(PLAYERS.map((player) => came(seen, player, edges[pathway]).filter(({ kind }) => kind === "steering").length));
  const browser = ({ protocol }) => protocol === "h2";
  list.push(["requests, reports among them, by its metrics", all + here.messages, metrics.sum("headwater_edge_requests_total", browser)]);
  // Reports are answered without a body.
  list.push(["bytes, by its metrics", allBytes, metrics.sum("headwater_edge_response_bytes_total", browser)]);
  list.push(["answers of steering, by its metrics", steered, metrics.sum("headwater_edge_steered_total") ?? 0]);
  const query = (read) => metrics.sum("headwater_edge_cmcd_total", (labels) => labels.by === "query" && labels.read === read);
  list.push(["requests with CMCD, by its metrics", media + third, query("yes")]);
  list.push(["requests with CMCD that it could not read", 0, query("no")]);
  const reports = (read) => metrics.sum("headwater_edge_cmcd_total", (labels) => labels.by === "report" && labels.read === read);
  // Those before the first request for media are of a session that is not known yet.
  list.push(["reports, lines of what was posted, by its metrics", here.reports, reports("yes") + reports("unknown")]);
  list.push(["reports that it could not read", 0, reports("no")]);
  list.push(["whether it read reports", here.reports > 0, reports("yes") > 0]);
  list.push(["sessions, by its view and its metrics", seen.told[pathway].sessions.known, metrics.sum("headwater_edge_sessions")]);
  const began = PLAYERS.map((player) => startup(seen, pathway, player)).filter((each) => each !== null);
  const playback = (name) => metrics.sum(`headwater_edge_playback_${name}`) ?? 0;
  list.push(["how many began to play, by its metrics", began.length, playback("startup_seconds_count")]);
  const allBegan = { least: sum(began.map(({ least }) => least)), most: sum(began.map(({ most }) => most)) };
  list.push(["milliseconds until they played, by its metrics", allBegan, 1000 * playback("startup_seconds_sum")]);
  const rates = PLAYERS.flatMap((player) => changes(seen, edges[pathway], player));
  list.push(["changes of bit rate, by its metrics", rates.length, playback("rate_bytes_per_second_count")]);
  const allRates = widened({ least: sum(rates), most: sum(rates) }, rates.length / 2);
  list.push(["kbit/s of these together, by its metrics", allRates, playback("rate_bytes_per_second_sum") / 125]);
  list.push(["stalls, by its metrics", 0, metrics.sum("headwater_edge_playback_rebuffers_total")]);
  return list;
}

/** What the live page writes as a bit rate, in kbit/s, and the step that it is written in. */
function kilobits(text) {
  const [number, unit] = text?.split(" ") ?? [];
  const scale = { "bit/s": 0.001, "kbit/s": 1, "Mbit/s": 1000 }[unit];
  return [Number(number?.replaceAll(",", "")) * scale, scale / 10];
}

/** The page that an operator has open tells the same. */
async function livePage(viewer, edge, pathway, seen) {
  const page = await viewer.context.newPage();
  try {
    await page.goto(String(new URL("/", edge.facts.metrics)));
    await page.waitForFunction(() => document.querySelectorAll("#sessions tbody tr").length > 1, undefined, { timeout: STEP_MS });
    const rows = await page.$$eval("#sessions tbody tr", (each) => each.map((row) => [...row.cells].map((cell) => cell.textContent)));
    const heads = await page.$$eval("#sessions thead th", (each) => each.map((head) => head.textContent.trim()));
    for (const player of PLAYERS) {
      const row = rows.find((cells) => cells[heads.indexOf("title")] === `by-${player}`);
      const shown = Number(row?.[heads.indexOf("requests")]?.replaceAll(",", ""));
      const counted = came(seen, player, edge).filter(({ kind }) => kind !== "steering").length;
      results.check(shown === counted, `edge ${pathway}: requests of ${player}, on its live page: ${shown}`, JSON.stringify(rows));
      const cell = (head) => row?.[heads.indexOf(head)];
      const { stalls } = seen.now[player];
      results.check(cell("stalls") === String(stalls), `edge ${pathway}: stalls of ${player}, on its live page: ${cell("stalls")}`, stalls);
      const [kbps, step] = kilobits(cell("bit rate"));
      const measured = widened(rounded(seen.now[player].kbps), step / 2);
      results.check(same(measured, kbps), `edge ${pathway}: bit rate of ${player}, on its live page: ${cell("bit rate")}`, spelt(measured));
      const start = startup(seen, pathway, player);
      const isStart = start === null ? cell("start") === "–" : same(start, Number(cell("start")?.replace(" ms", "").replaceAll(",", "")));
      results.check(isStart, `edge ${pathway}: start of ${player}, on its live page: ${cell("start")}`, spelt(start));
    }
  } finally {
    await page.close();
  }
}

try {
  await main();
} catch (error) {
  results.check(false, "the test runs to its end", error?.stack ?? error);
}
process.exit(results.end());
