// The players test: hls.js, Shaka Player and dash.js in a real Chromium play each codec from each form that the
// packager answers with, switch between sounds, play tricks, encrypted segments and a recording that grows.
// docs/players.md says what plays where, and has to agree with what was seen here.
//
//   node test/players.mjs [WORD …]   only groups of tests with one of these words in their title
//
//   HEADWATER_STACK   path of the reference-stack binary
//                     (else $CARGO_TARGET_DIR/debug/examples/reference-stack)
//   CHROMIUM          the browser (else /usr/bin/chromium)
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { findBinary, Stack } from "./browser/stack.mjs";
import { Results } from "./browser/tap.mjs";
import { Viewer } from "./browser/viewer.mjs";
import { CODECS, makeFixtures } from "./players/fixtures.mjs";
import { playedByDocument } from "./players/document.mjs";
import { PLAYERS, prepare } from "./players/page.mjs";
import { Recording } from "./players/recording.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const LIMIT_MS = 15 * 60_000;
const results = new Results();
const words = process.argv.slice(2);

/** What each player is asked to play of H.264 with AAC: path below the asset, and what that is. */
const FORMS = {
  "hls.js": [
    ["main.m3u8", "CMAF"],
    ["main.m3u8?container=ts", "MPEG-TS"],
    ["main.m3u8?container=muxed", "muxed CMAF"],
    ["single.m3u8", "byte ranges"],
  ],
  "Shaka Player": [
    ["manifest.mpd", "DASH by number"],
    ["time.mpd", "DASH by time"],
    ["ondemand.mpd", "DASH on demand"],
    ["main.m3u8", "CMAF"],
    ["main.m3u8?container=ts", "MPEG-TS"],
    ["main.m3u8?container=muxed", "muxed CMAF"],
    ["single.m3u8", "byte ranges"],
  ],
  "dash.js": [
    ["manifest.mpd", "DASH by number"],
    ["time.mpd", "DASH by time"],
    ["ondemand.mpd", "DASH on demand"],
  ],
};

/** `what player` of all that played. */
const seen = new Set();

async function main() {
  const binary = await findBinary(process.env);
  const folder = await mkdtemp(join(tmpdir(), "headwater-players-"));
  const input = await makeFixtures(join(folder, "media"));
  const stack = await Stack.start(binary, { folder, web: join(here, "..", "dist"), inputs: [input] });
  const watchdog = setTimeout(() => {
    console.log(`not ok - the run ends within ${LIMIT_MS / 60_000} minutes`);
    stack.child.kill("SIGKILL");
    process.exit(1);
  }, LIMIT_MS);
  const viewer = await Viewer.open(stack, "h2");
  viewer.stack = stack;
  try {
    await prepare(viewer.page, stack.facts.base);
    for (const player of PLAYERS) {
      await group(`${player.name}: forms`, async () => {
        for (const [path, what] of FORMS[player.name]) {
          await play(viewer, player, "avc-aac", path, what, ["H.264", "AAC"]);
        }
      });
      await group(`${player.name}: codecs`, async () => {
        for (const { asset, codecs } of CODECS) await play(viewer, player, asset, player.manifest, codecs.join(" and "), codecs);
      });
      await group(`${player.name}: another sound`, () => sounds(viewer, player));
    }
    await group("MP3 in MPEG-TS", () => mp3(viewer));
    await group("trick play", () => trick(viewer));
    await group("encrypted segments", () => encrypted(viewer));
    await group("a recording that grows", () => growing(viewer, folder, input));
    await group("what docs/players.md says", compare);
  } finally {
    await viewer.close();
    const ended = await stack.stop();
    results.check(ended === "code 0", "the stack drains and exits with 0", ended);
    clearTimeout(watchdog);
    if (results.failed > 0) results.note(`the end of the stack's log:\n${(await stack.logTail()).replace(/^/gm, "#   ")}`);
    await rm(folder, { recursive: true, force: true });
  }
}

/** A group of tests, unless others are asked for. */
async function group(title, run) {
  if (words.length === 0 || words.some((word) => title.includes(word))) await results.group(title, run);
}

/** Plays on, jumps, plays on: nothing may go wrong on the way. */
async function play(viewer, player, asset, path, what, codecs) {
  const title = `${player.name} plays ${what}`;
  const outcome = await attempt(viewer, player, asset, path);
  results.check(outcome === "", `${title}: ${asset}/${path}`, outcome);
  if (outcome === "") for (const codec of codecs) seen.add(`${codec} ${player.name}`);
}

/** Nothing where it plays, else why not. */
async function attempt(viewer, player, asset, path) {
  const { page, stack } = viewer;
  try {
    const url = String(new URL(path, stack.asset(asset).hls));
    await within(20_000, "it opens", page.evaluate(([name, from]) => window.players.open(name, from), [player.name, url]));
    await on(page, 0, 1.5);
    await page.evaluate(() => window.players.seek(7));
    await on(page, 7, 1);
    return (await page.evaluate(() => window.players.errors())).join("; ");
  } catch (error) {
    const state = await page.evaluate(() => window.players.state()).catch(() => undefined);
    return `${String(error).split("\n")[0]}; ${JSON.stringify(state)}`;
  }
}

/** Waits until playback got to `seconds` after `from`, with pictures and sound decoded on the way. */
async function on(page, from, seconds, { silent = false } = {}) {
  await page.waitForFunction(([at, quiet]) => window.players.isPast(at, quiet), [from + seconds, silent], { timeout: 15_000, polling: 50 });
}

/** A player that never answers must not hold up the rest. */
async function within(milliseconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${milliseconds / 1000} s: ${what}`)), milliseconds);
  });
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function sounds(viewer, player) {
  const outcome = await attempt(viewer, player, "two-sounds", player.manifest);
  results.check(outcome === "", `${player.name} plays an asset with two sounds`, outcome);
  if (outcome !== "") return;
  const { page } = viewer;
  const languages = await page.evaluate(() => window.players.languages());
  results.check(languages.length === 2 && languages.includes("de") && languages.includes("en"), "it offers both languages", languages);
  for (const language of ["de", "en"]) {
    await page.evaluate((wanted) => window.players.choose(wanted), language);
    await page.waitForFunction((wanted) => window.players.language() === wanted, language, { timeout: 30_000, polling: 50 });
    const { time } = await page.evaluate(() => window.players.state());
    await on(page, Math.min(time, 8), 0.5);
    results.check(true, `${player.name} plays on in ${language}`);
  }
  const errors = await page.evaluate(() => window.players.errors());
  results.check(errors.length === 0, "no player error", errors);
}

/** Chromium decodes MP3 in MPEG-TS alone, where players hand it over as it is: in MP4 it has no name that Chromium takes. */
async function mp3(viewer) {
  for (const player of PLAYERS.filter(({ name }) => name !== "dash.js")) {
    await play(viewer, player, "avc-mp3", "main.m3u8?container=ts", "MP3 in MPEG-TS", ["MP3"]);
  }
}

/** Shaka Player has trick play: four times as fast, from the track of I-frames. */
async function trick(viewer) {
  const { page, stack } = viewer;
  const asked = [];
  const listen = (request) => request.url().includes(".iframes/") && asked.push(request.url());
  page.on("request", listen);
  for (const form of ["manifest.mpd", "ondemand.mpd"]) {
    asked.length = 0;
    const url = String(new URL(form, stack.asset("long").hls));
    await within(20_000, "it opens", page.evaluate((from) => window.players.open("Shaka Player", from), url));
    await on(page, 0, 0.3, { silent: true });
    await page.evaluate(() => window.players.trickPlay(4));
    await on(page, 0, 8, { silent: true });
    results.check(asked.length > 0, `Shaka Player asked ${asked.length} times for the trick play track: ${form}`);
    const errors = await page.evaluate(() => window.players.errors());
    results.check(errors.length === 0, "no player error", errors);
  }
  page.off("request", listen);
}

/** AES-128 of HLS, with a key that the packager serves. */
async function encrypted(viewer) {
  const { page } = viewer;
  const keys = [];
  const listen = (response) => response.url().endsWith("/segments.key") && keys.push(response.headers()["cache-control"]);
  page.on("response", listen);
  for (const player of PLAYERS.filter(({ name }) => name !== "dash.js")) {
    keys.length = 0;
    await play(viewer, player, "encrypted", "main.m3u8", "encrypted MPEG-TS", ["AES-128 (MPEG-TS)"]);
    results.check(keys.length > 0 && keys.every((said) => /\bno-store\b/.test(said)), `${player.name} got the key, which nobody may keep`, keys);
  }
  page.off("response", listen);
}

/** What each player is asked to play of a recording. */
const GROWING = [
  ["hls.js", "main.m3u8", "EVENT playlist"],
  ["Shaka Player", "main.m3u8", "EVENT playlist"],
  ["Shaka Player", "manifest.mpd", "dynamic MPD"],
  ["dash.js", "manifest.mpd", "dynamic MPD"],
];

/** Each player, in a page of its own, plays on past what was there when it opened; when the recording ends, playback does. */
async function growing(viewer, folder, input) {
  const { context, stack } = viewer;
  const recording = await Recording.start(join(input, "recording.mp4"), join(folder, "scratch", "recording.mp4"), 90);
  const base = new URL("../recording/", stack.asset("avc-aac").hls);
  // What this process asks itself needs no certificate.
  const plain = new URL(base.pathname, stack.facts.http);
  try {
    await until(async () => (await published(plain)) >= 8, "two segments are published", 30_000);
    const watchers = await Promise.all(
      GROWING.map(async ([player, path, what]) => {
        const page = await context.newPage();
        await prepare(page, stack.facts.base);
        return { page, player, what, url: String(new URL(path, base)) };
      }),
    );
    const before = await published(plain);
    const followed = await Promise.all(watchers.map(({ page, player, url }) => follow(page, player, url, before)));
    await recording.finish();
    await until(async () => (await playlist(plain)).includes("#EXT-X-ENDLIST"), "the playlist ends", 10_000);
    const mpd = await (await fetch(new URL("manifest.mpd", plain))).text();
    results.check(mpd.includes('type="static"'), "the MPD is static when the recording has ended");
    const ended = await Promise.all(watchers.map(({ page }) => ending(page)));
    for (const [at, { page, player, what }] of watchers.entries()) {
      results.check(followed[at] === "", `${player} plays a recording past the ${before} s that were there: ${what}`, followed[at]);
      results.check(ended[at] === "", `${player} comes to the end when the recording has ended: ${what}`, ended[at]);
      if (followed[at] === "" && ended[at] === "") seen.add(`a recording that grows ${player}`);
      await page.close();
    }
  } finally {
    await recording.finish().catch(() => {});
  }
}

/** Nothing where a player goes on from near the end of what is there to what was not, else why not. */
async function follow(page, player, url, before) {
  try {
    await within(20_000, "it opens", page.evaluate(([name, from]) => window.players.open(name, from), [player, url]));
    await page.waitForFunction(() => window.players.isPast(0.2), undefined, { timeout: 20_000, polling: 50 });
    await page.evaluate((at) => window.players.seek(at), before - 2);
    await page.waitForFunction((at) => window.players.isPast(at), before + 3, { timeout: 20_000, polling: 50 });
    return (await page.evaluate(() => window.players.errors())).join("; ");
  } catch (error) {
    const state = await page.evaluate(() => window.players.state()).catch(() => undefined);
    return `${String(error).split("\n")[0]}; ${JSON.stringify(state)}`;
  }
}

/** Nothing where playback ends by itself. */
async function ending(page) {
  try {
    await page.waitForFunction(() => window.players.seekNearEnd(), undefined, { timeout: 20_000, polling: 200 });
    await page.waitForFunction(() => window.players.hasEnded(), undefined, { timeout: 20_000, polling: 50 });
    return (await page.evaluate(() => window.players.errors())).join("; ");
  } catch (error) {
    const state = await page.evaluate(() => window.players.state()).catch(() => undefined);
    return `${String(error).split("\n")[0]}; ${JSON.stringify(state)}`;
  }
}

/** The media playlist of the recording's picture; nothing where it is not there yet. */
async function playlist(base) {
  const answer = await fetch(new URL("v1.m3u8", base));
  return answer.ok ? answer.text() : "";
}

/** How many seconds of it are published. */
async function published(base) {
  const durations = [...(await playlist(base)).matchAll(/^#EXTINF:([\d.]+)/gm)];
  return durations.reduce((sum, [, seconds]) => sum + Number(seconds), 0);
}

async function until(condition, what, milliseconds) {
  const end = Date.now() + milliseconds;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${milliseconds / 1000} s: ${what}`);
    await sleep(200);
  }
}

/** A table that nobody keeps is worse than none. */
async function compare() {
  const said = playedByDocument(await readFile(join(here, "..", "..", "docs", "players.md"), "utf8"));
  for (const cell of [...seen].sort()) results.check(said.has(cell), `docs/players.md says that it plays: ${cell}`);
  for (const cell of [...said].sort()) results.check(seen.has(cell), `it plays as docs/players.md says: ${cell}`);
}

try {
  await main();
} catch (error) {
  results.check(false, "the test runs to its end", error?.stack ?? error);
}
process.exit(results.end());
