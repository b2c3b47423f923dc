// The browser test: a real Chromium plays what the whole stack delivers, by HLS and by DASH, over HTTP/2 and
// over HTTP/3, and the server's own counters have to agree with what the browser saw.
//
//   HEADWATER_STACK   path of the reference-stack binary
//                     (else $CARGO_TARGET_DIR/debug/examples/reference-stack)
//   HEADWATER_WEB     the built pages (else web/dist)
//   CHROMIUM          the browser (else /usr/bin/chromium)
//   HEADWATER_PYTHON  a python with aioquic, for the independent HTTP/3 client (else python3 if it has it)
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { DURATION, makeFixture } from "./browser/fixture.mjs";
import { load } from "./browser/load.mjs";
import { readMetrics } from "./browser/metrics.mjs";
import { findBinary, Stack } from "./browser/stack.mjs";
import { Results } from "./browser/tap.mjs";
import { Viewer } from "./browser/viewer.mjs";

const run = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));
const web = process.env.HEADWATER_WEB ?? join(here, "..", "dist");
const LIMIT_MS = 15 * 60_000;

const { cacheState } = await load(join(here, "..", "src", "cache_status.ts"));
const results = new Results();

async function main() {
  const binary = await findBinary(process.env);
  const folder = await mkdtemp(join(tmpdir(), "headwater-browser-"));
  const shots = join(folder, "screenshots");
  await mkdir(shots);
  results.note(`screenshots: ${shots}`);
  const { input, single, ladder } = await makeFixture(join(folder, "media"));
  const stack = await Stack.start(binary, { folder, web, inputs: [input] });
  const watchdog = setTimeout(() => {
    console.log(`not ok - the run ends within ${LIMIT_MS / 60_000} minutes`);
    stack.child.kill("SIGKILL");
    process.exit(1);
  }, LIMIT_MS);

  const seen = [];
  try {
    await results.group("the pages", () => pages(stack, [single, ladder], shots));
    for (const protocol of ["h2", "h3"]) {
      for (const player of ["hls", "dash"]) {
        const title = `${player} over ${protocol}`;
        const first = await results.group(title, () => playback(stack, single, player, protocol, shots));
        if (first) seen.push(...first);
        await results.group(`${title}, again`, () => again(stack, single, player, protocol));
      }
    }
    await results.group("quality by hls over h3", () => qualities(stack, ladder, "hls", "h3", shots));
    await results.group("quality by dash over h2", () => qualities(stack, ladder, "dash", "h2", shots));
    await results.group("failures are told", () => failures(stack, single, shots));
    await results.group("an independent HTTP/3 client", () => independent(stack, single, seen));
    await results.group("the demo video", () => demo(binary, join(folder, "demo"), shots));
  } finally {
    const ended = await stack.stop();
    results.check(ended === "code 0", "SIGTERM drains the stack and it exits with 0", `${ended}\n${await stack.logTail()}`);
    clearTimeout(watchdog);
    if (results.failed > 0) results.note(`the end of the stack's log:\n${(await stack.logTail()).replace(/^/gm, "#   ")}`);
    for (const each of ["state", "media", "demo"]) await rm(join(folder, each), { recursive: true, force: true });
  }
}

/** What a newcomer sees: a stack without inputs makes its own minute of video, and plays it. */
async function demo(binary, folder, shots) {
  await mkdir(folder);
  const stack = await Stack.start(binary, { folder, web, inputs: [], readyMs: 300_000 });
  try {
    await playback(stack, "demo", "hls", "h3", shots, 60);
    await playback(stack, "demo", "dash", "h2", shots, 60);
  } finally {
    const ended = await stack.stop();
    results.check(ended === "code 0", "the demo's stack drains and exits with 0", ended);
  }
}

/** The catalogue and the viewer as pages: what they list, say and look like. */
async function pages(stack, names, shots) {
  const viewer = await Viewer.open(stack, "h2");
  try {
    const { page } = viewer;
    await page.goto(`${stack.facts.base}/`, { waitUntil: "load" });
    await page.waitForSelector("#assets[aria-busy=false] .card[data-asset]");
    const cards = await page.$$eval(".card[data-asset]", (each) => each.map((card) => card.dataset.asset));
    results.check(names.every((name) => cards.includes(name)), "the catalogue lists every asset", cards);
    await page.waitForSelector('.card[data-asset="ladder"][data-state] .keep span');
    const told = (selector) => page.$$eval(`.card[data-asset="ladder"] ${selector}`, (each) => each.map((one) => one.textContent));
    const rows = await told(".tracks li");
    results.check(
      rows.length === 3 && rows[0].startsWith("180p") && rows[1].startsWith("360pH.264") && rows[2].endsWith("AAC · stereo"),
      "a card names renditions and sounds",
      rows,
    );
    results.check((await told(".length"))[0] === "0:24", "a card tells the duration");
    const { length } = (await (await page.request.get(`${stack.facts.base}/media/ladder/download.mp4`, { ignoreHTTPSErrors: true })).body());
    const [shown] = await told(".keep span");
    results.check(shown === `${(length / 1024 / 1024).toFixed(1)} MiB`, `a card tells the size of the download: ${shown}`, length);
    await page.click('.card[data-asset="ladder"] .remarks summary');
    const remark = (await told(".remarks li"))[0] ?? "";
    results.check(remark.includes("it is the same sound"), "a card tells what was left out and why", remark);
    await page.waitForSelector('.card[data-asset="broken"][data-state="failed"]');
    const trouble = await page.textContent('.card[data-asset="broken"] .trouble');
    results.check(trouble.startsWith("It cannot be played: the source is not an MP4 file"), "what cannot be played says why", trouble);
    viewer.complaints.splice(0, Infinity, ...viewer.complaints.filter((each) => !each.includes("422")));
    const badge = await page.textContent("#page-protocol");
    results.check(badge.includes("HTTP/2"), "the page names the protocol it came by", badge);
    await page.waitForSelector("#delivery code");
    const command = await page.textContent("#delivery code");
    results.check(
      command.includes("--origin-to-force-quic-on=") && command.includes(stack.facts.spki_sha256),
      "the page tells the command line that plays over HTTP/3",
      command,
    );
    results.check(await fitsWidth(page), "the catalogue fits the window");
    await viewer.screenshot(join(shots, "catalogue.png"), { fullPage: true });
    await page.setViewportSize({ width: 390, height: 844 });
    results.check(await fitsWidth(page), "the catalogue fits a telephone");
    await viewer.screenshot(join(shots, "catalogue-narrow.png"), { fullPage: true });

    await page.click(`.card[data-asset="${names[0]}"] h3 a`);
    await page.waitForURL((url) => url.pathname === "/watch");
    await viewer.until(() => window.headwater?.video.currentTime > 0.5, "the video starts from the catalogue");
    results.check((await page.textContent("h1")).trim() === names[0], "the viewer shows the title");
    results.check(await fitsWidth(page), "the viewer fits a telephone");
    await viewer.screenshot(join(shots, "watch-narrow.png"), { fullPage: true });
    results.check(viewer.complaints.length === 0, "no error in the console", viewer.complaints.join("\n"));
  } finally {
    await viewer.close();
  }
}

/** A first viewer: plays, seeks forward and back, and fetches the whole video. Answers the segments' URLs. */
async function playback(stack, name, player, protocol, shots, duration = DURATION) {
  const before = await readMetrics(stack.facts.metrics);
  const viewer = await Viewer.open(stack, protocol);
  try {
    await viewer.watch(stack.asset(name), player);
    const start = await viewer.now();
    results.check(Math.abs(start.duration - duration) < 0.2, "the duration is the source's", start.duration);

    const played = await viewer.advance(3);
    results.check(played.time >= start.time + 3, `currentTime advances: ${start.time.toFixed(2)} → ${played.time.toFixed(2)}`);
    results.check(played.frames > start.frames, `decoded frames grow: ${start.frames} → ${played.frames}`);
    await checkAgreement(viewer, "while playing");

    const forward = await viewer.seek(15, 1.5);
    results.check(forward.time >= 16, `a seek forward plays on, at ${forward.time.toFixed(2)}`);
    await checkAgreement(viewer, "after the seek forward");
    const back = await viewer.seek(2, 1.5);
    results.check(back.time >= 3 && back.time < 12, `a seek back plays on, at ${back.time.toFixed(2)}`);
    if (duration === DURATION) {
      // Players do not keep a whole minute ahead.
      await viewer.bufferAll();
      await checkAgreement(viewer, "at the end");
    }
    const end = await viewer.now();
    results.check(end.errors.length === 0, "no player error", end.errors.join("\n"));
    if (end.warnings.length > 0) results.note(`the player got over: ${end.warnings.join("; ")}`);
    results.check(viewer.complaints.length === 0, "no error in the console", viewer.complaints.join("\n"));

    const segments = await viewer.settledSegments();
    checkSegments(segments, protocol);
    const page = await viewer.page.textContent("#s-page");
    results.check(page === { h2: "HTTP/2", h3: "HTTP/3" }[protocol], "the page names its own protocol", page);
    await viewer.page.evaluate(() => (document.querySelector("details").open = true));
    await viewer.screenshot(join(shots, `watch-${name}-${player}-${protocol}.png`), { fullPage: true });

    const after = await readMetrics(stack.facts.metrics);
    const grown = requests(after, protocol) - requests(before, protocol);
    const fetched = segments.filter((segment) => !segment.local).length;
    results.check(grown >= fetched, `the edge counted ${grown} requests over ${protocol} for ${fetched} segments`, after.names(/edge/));
    return segments.map(({ url }) => url);
  } finally {
    await viewer.close();
  }
}

/** A second viewer, with nothing of the first one's: every segment has to come from the edge's cache. */
async function again(stack, name, player, protocol) {
  const before = await readMetrics(stack.facts.metrics);
  const viewer = await Viewer.open(stack, protocol);
  try {
    await viewer.watch(stack.asset(name), player);
    await viewer.advance(3);
    await viewer.bufferAll();
    const segments = (await viewer.settledSegments()).filter((segment) => !segment.local);
    checkSegments(segments, protocol);
    const others = segments.filter((segment) => cacheState(segment.cacheStatus) !== "hit");
    results.check(
      segments.length > 0 && others.length === 0,
      `all of ${segments.length} segments are hits by Cache-Status`,
      others.map(({ url, cacheStatus }) => `${url}: ${cacheStatus || "no Cache-Status"}`).join("\n"),
    );
    const { errors } = await viewer.now();
    results.check(errors.length === 0, "no player error", errors.join("\n"));

    const after = await readMetrics(stack.facts.metrics);
    const hits = requests(after, protocol, "hit") - requests(before, protocol, "hit");
    results.check(hits >= segments.length, `the edge counted ${hits} hits over ${protocol} for ${segments.length} segments`);
    const [had, has] = [packaged(before), packaged(after)];
    results.check(has !== undefined && has === had, `the packager made no segment for it: ${had} → ${has}`, after.names(/packager/));
  } finally {
    await viewer.close();
  }
}

/** The quality menu does what it says. */
async function qualities(stack, name, player, protocol, shots) {
  const viewer = await Viewer.open(stack, protocol);
  try {
    await viewer.watch(stack.asset(name), player);
    const { page } = viewer;
    await viewer.until(() => document.querySelectorAll("#quality option").length === 3, "the menu offers auto and two qualities");
    for (const height of [180, 360, 180]) {
      const id = await page.evaluate(
        (wanted) => [...document.querySelectorAll("#quality option")].find(({ text }) => text.startsWith(`${wanted}p`))?.value,
        height,
      );
      await page.selectOption("#quality", id);
      await viewer.until((wanted) => window.headwater.video.videoHeight === wanted, `the video becomes ${height}p`, height);
      await viewer.advance(0.5);
      results.check(true, `the menu brings ${height}p`);
    }
    await checkAgreement(viewer, "after changes of quality", true);
    const { errors } = await viewer.now();
    results.check(errors.length === 0, "no player error", errors.join("\n"));
    await viewer.screenshot(join(shots, `quality-${player}-${protocol}.png`));
  } finally {
    await viewer.close();
  }
}

/** What a viewer reads when something is missing, and that trying again works. */
async function failures(stack, name, shots) {
  const viewer = await Viewer.open(stack, "h2");
  try {
    const { page } = viewer;
    await page.goto(`${stack.facts.base}/watch?asset=nowhere`);
    await page.waitForSelector("#notice:not([hidden])");
    const gone = await page.textContent("#notice p");
    results.check(gone.includes("no video named “nowhere”"), "a missing asset is told in a sentence", gone);
    await viewer.screenshot(join(shots, "missing.png"));

    for (const player of ["hls", "dash"]) {
      await page.route("**/*.{m3u8,mpd}", (route) => route.abort("connectionrefused"));
      const url = new URL(stack.asset(name).player);
      url.searchParams.set("player", player);
      await page.goto(url.href);
      await page.waitForSelector("#notice:not([hidden])");
      const broken = await page.textContent("#notice p");
      results.check(broken.includes("connection to the server broke"), `${player}: a broken network is told in a sentence`, broken);
      await viewer.screenshot(join(shots, `broken-${player}.png`));
      await page.unroute("**/*.{m3u8,mpd}");
      await page.click("#notice button");
      await viewer.until(() => window.headwater.video.currentTime > 0.5, "the video plays after trying again");
      results.check(!(await page.isVisible("#notice")), `${player}: trying again plays the video`);

      await page.route("**/*.m4s", (route) => route.fulfill({ status: 410, body: "" }));
      await page.goto(url.href);
      await page.waitForSelector("#notice:not([hidden])");
      const replaced = await page.textContent("#notice p");
      results.check(replaced.includes("was replaced"), `${player}: a replaced source is told in a sentence`, replaced);
      await page.unroute("**/*.m4s");
    }
  } finally {
    await viewer.close();
  }
}

/** aioquic, which shares no code with the server's stack, gets the bytes that HTTP/1.1 gets. */
async function independent(stack, name, seen) {
  const python = process.env.HEADWATER_PYTHON ?? "python3";
  const has = await run(python, ["-c", "import aioquic"], { timeout: 30_000 }).then(
    () => true,
    () => false,
  );
  if (!has) {
    if (process.env.HEADWATER_PYTHON) results.check(false, `${python} has aioquic`);
    else results.skip("the independent HTTP/3 client", "python3 has no aioquic; set HEADWATER_PYTHON");
    return;
  }
  const { hls, dash } = stack.asset(name);
  const urls = [hls, dash, ...[...new Set(seen)].slice(0, 8)];
  const script = join(here, "..", "..", "tests", "independent_h3.py");
  const { stdout, stderr, code } = await run(python, [script, "--spki", stack.facts.spki_sha256, ...urls], { timeout: 120_000 }).then(
    (done) => ({ ...done, code: 0 }),
    (error) => error,
  );
  const lines = String(stdout).split("\n");
  for (const line of lines) {
    const match = /^(ok|not ok) - (.*)/.exec(line);
    if (match) results.check(match[1] === "ok", `aioquic: ${match[2]}`, match[1] === "ok" ? "" : stdout);
  }
  results.check(code === 0, "aioquic agrees with HTTP/1.1 on everything", stderr);
}

async function checkAgreement(viewer, when, endsOnly) {
  const { agreed, video, audio } = await viewer.agreement(endsOnly);
  const text = (range) => (range ? range.map((each) => each.toFixed(3)).join("–") : "nothing");
  results.check(agreed, `video and audio buffers agree ${when}: ${text(video)} and ${text(audio)}`);
}

function checkSegments(segments, protocol) {
  const fetched = segments.filter((segment) => !segment.local);
  const others = fetched.filter((segment) => segment.protocol !== protocol);
  results.check(
    fetched.length > 0 && others.length === 0,
    `all of ${fetched.length} segments came by ${protocol}`,
    others.map((segment) => `${segment.url}: ${segment.protocol}`).join("\n"),
  );
  const bare = fetched.filter((segment) => segment.cacheStatus === "");
  results.check(bare.length === 0, "every segment carries Cache-Status", bare.map(({ url }) => url).join("\n"));
}

/** Requests that the edge counted over a protocol, of all cache results or of one. */
function requests(metrics, protocol, cache) {
  return (
    metrics.sum("headwater_edge_requests_total", (labels) => labels.protocol === protocol && (cache === undefined || labels.cache === cache)) ?? 0
  );
}

/** Segments that the packager made since it started. */
function packaged(metrics) {
  return metrics.sum(/^headwater_packager_segments_total$/);
}

function fitsWidth(page) {
  return page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
}

try {
  await main();
} catch (error) {
  results.check(false, "the test runs to its end", error?.message ?? error);
}
process.exit(results.end());
