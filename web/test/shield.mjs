// The shield's test with a real player: hls.js in a real Chromium plays through a shield whose origin is 300 ms away and
// hardly faster than the video, with the shield's segment sense and without. Both play at once, so that a busy machine
// is busy for both: how long they waited is compared, never measured (docs/results/shield.md has the figures of one).
//
//   HEADWATER_STACK   path of the reference-stack binary
//                     (else $CARGO_TARGET_DIR/debug/examples/reference-stack)
//   CHROMIUM          the browser (else /usr/bin/chromium)
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readMetrics } from "./browser/metrics.mjs";
import { findBinary, Stack } from "./browser/stack.mjs";
import { Results } from "./browser/tap.mjs";
import { Viewer } from "./browser/viewer.mjs";
import { ffmpeg } from "./players/fixtures.mjs";
import { Origin } from "./shield/origin.mjs";
import { files, open } from "./shield/page.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const LIMIT_MS = 5 * 60_000;
/** Seconds of the video, in segments of one. */
const DURATION = 20;
const LATENCY_MS = 300;
/** A segment of a second comes in so much of one, once it comes: with the latency, not in time. */
const NARROW = 0.85;

const results = new Results();

async function main() {
  const binary = await findBinary(process.env);
  const folder = await mkdtemp(join(tmpdir(), "headwater-shield-"));
  const media = join(folder, "media");
  const mean = await makeVideo(media);
  const far = { latencyMs: LATENCY_MS, bytesPerSecond: mean / NARROW };
  const stop = [];
  const watchdog = setTimeout(() => {
    console.log(`not ok - the run ends within ${LIMIT_MS / 60_000} minutes`);
    for (const { stack } of stop) stack?.child.kill("SIGKILL");
    process.exit(1);
  }, LIMIT_MS);
  let viewer;
  try {
    for (const [name, ahead] of [
      ["without", ["--ahead", "0"]],
      ["with", []],
    ]) {
      const origin = await Origin.start(media, far, await files());
      stop.push({ origin });
      const own = join(folder, name);
      await mkdir(own);
      const args = ["--role", "shield", "--upstream", origin.url, ...ahead];
      const stack = await Stack.start(binary, { folder: own, web: join(here, "..", "dist"), inputs: [], more: args });
      stop.push({ stack });
      viewer ??= await Viewer.open(stack, "h2");
      viewer[name] = { origin, stack };
    }
    const [without, sense] = await Promise.all(["without", "with"].map((name) => watch(viewer, viewer[name])));
    results.note(`without segment sense: ${told(without)}`);
    results.note(`with segment sense: ${told(sense)}`);
    check(without, sense);
  } finally {
    await viewer?.close();
    for (const { origin, stack } of stop) {
      await origin?.stop();
      if (stack) {
        const ended = await stack.stop();
        results.check(ended === "code 0", "the shield drains and exits with 0", `${ended}\n${await stack.logTail()}`);
      }
    }
    clearTimeout(watchdog);
    await rm(folder, { recursive: true, force: true });
  }
}

/** A video in HLS; answers the mean bytes of its segments. */
async function makeVideo(folder) {
  await mkdir(folder);
  // prettier-ignore
  await ffmpeg(
    "-f", "lavfi", "-i", `testsrc2=size=640x360:rate=25:duration=${DURATION}`,
    "-f", "lavfi", "-i", `sine=frequency=440:sample_rate=48000:duration=${DURATION}`,
    "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-b:v", "1500k", "-minrate", "1500k", "-maxrate", "1500k",
    "-bufsize", "1500k", "-x264-params", "nal-hrd=cbr", "-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-c:a", "aac",
    "-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4",
    "-hls_segment_filename", join(folder, "%d.m4s"), join(folder, "video.m3u8"),
  );
  await writeFile(join(folder, "main.m3u8"), "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1700000\nvideo.m3u8\n");
  const segments = (await readdir(folder)).filter((name) => name.endsWith(".m4s"));
  const sizes = await Promise.all(segments.map(async (name) => (await stat(join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
}

/** Plays through a shield: how it was for the player, how each segment was found, and what was counted. */
async function watch({ context }, { origin, stack }) {
  const page = await context.newPage();
  const found = new Map();
  page.on("response", (response) => {
    const segment = /\/(\d+)\.m4s$/.exec(response.url());
    if (segment) found.set(Number(segment[1]), response.headers()["cache-status"] ?? "");
  });
  const base = stack.facts.http;
  await open(page, base);
  const player = await page.evaluate((url) => window.watch(url), `${base}/main.m3u8`);
  const metrics = await readMetrics(stack.facts.metrics);
  const count = (name) => metrics.sum(`headwater_origin_prefetch_${name}_total`);
  await page.close();
  const statuses = [...found].sort(([one], [other]) => one - other).map(([, status]) => status);
  return { player, statuses, count, asked: [...origin.asked.values()] };
}

const isHit = (status) => /;\s*hit\b/.test(status);
const isJoined = (status) => /;\s*collapsed\b/.test(status);

function told({ player, statuses }) {
  const { startup, stalled, stalls } = player;
  const [hits, joined] = [isHit, isJoined].map((is) => statuses.filter(is).length);
  return (
    `startup ${startup.toFixed(2)} s, stalled ${stalled.toFixed(2)} s in ${stalls} times; ` +
    `of ${statuses.length} segments ${hits} hits, ${joined} joined a fetch`
  );
}

function check(without, sense) {
  for (const [name, { statuses, asked }] of Object.entries({ without, with: sense })) {
    results.check(statuses.length === DURATION, `${name} segment sense: the player asked for every segment`, statuses.length);
    results.check(asked.every((times) => times === 1), `${name} segment sense: the origin was asked once for each object`, asked);
  }
  results.check(without.count("issued") === 0, "without segment sense nothing is fetched ahead", without.count("issued"));
  const own = without.statuses.filter((status) => isHit(status) || isJoined(status));
  results.check(own.length === 0, "and no segment is there before it is asked for", own);
  const late = sense.statuses.slice(1).filter((status) => !isHit(status) && !isJoined(status));
  results.check(late.length === 0, "with it, from the second segment on each was there or on its way", late.join("\n"));
  results.check(sense.statuses.some(isHit), "and some were there", sense.statuses.join("\n"));
  const used = sense.count("used");
  results.check(used >= DURATION - 1, `${used} objects were fetched ahead and used`, sense.count("issued"));
  const [stalled, half] = [sense.player.stalled, without.player.stalled / 2];
  results.check(half > 0 && stalled <= half, "with it the player waits for less than half as long", `${stalled} s, ${half} s`);
  results.check(sense.count("wasted") === 0, "none was fetched ahead for nobody", sense.count("wasted"));
}

try {
  await main();
} catch (error) {
  results.check(false, "the test runs to its end", error?.stack ?? error);
}
process.exit(results.end());
