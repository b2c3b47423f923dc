// A page with hls.js and Shaka Player side by side, each telling what it asked for and what came: what the player
// itself counted. Served by the test under an edge's origin, as an operator's site would be.
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const modules = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "node_modules");
const SCRIPTS = { "hls.js": "hls.js/dist/hls.js", "shaka.js": "shaka-player/dist/shaka-player.compiled.js" };

/** Opens it in a page of a browser, with `manifests` (by file name, of `[type, text]`) beside it. */
export async function open(page, base, manifests) {
  const folder = new URL("/site/", base);
  const serve = (name, contentType, body) => {
    const { origin, pathname } = new URL(name, folder);
    return page.route((url) => url.origin === origin && url.pathname === pathname, (route) => route.fulfill({ contentType, body }));
  };
  for (const [name, path] of Object.entries(SCRIPTS)) {
    await serve(name, "text/javascript", await readFile(join(modules, path), "utf8"));
  }
  for (const [name, [type, text]] of Object.entries(manifests)) await serve(name, type, text);
  const scripts = Object.keys(SCRIPTS).map((name) => `<script src="${name}"></script>`);
  const icon = '<link rel="icon" href="data:,">';
  await serve("", "text/html", `<!doctype html><meta charset="utf-8"><title>Two edges</title>${icon}${scripts.join("")}<body></body>`);
  await page.goto(String(folder), { waitUntil: "load" });
  await page.evaluate(face);
}

/** Runs in the page. */
function face() {
  const { Hls, shaka } = window;
  /** How far ahead the players load, in seconds: so little that they go on asking. */
  const AHEAD = 8;
  const watched = {};
  /** What hls.js posts of itself, with when it left and when it was answered. Shaka Player has its own fetch by now. */
  const posts = [];
  const { fetch } = window;
  window.fetch = async (url, init) => {
    if (init?.method !== "POST") return fetch(url, init);
    const post = { text: String(init.body), left: Date.now() };
    posts.push(post);
    const answer = await fetch(url, init);
    post.answered = Date.now();
    return answer;
  };

  function watch(name) {
    const video = document.createElement("video");
    video.muted = true;
    document.body.append(video);
    const log = [];
    const one = { video, log, errors: [], stalls: 0, begun: false };
    video.addEventListener("playing", () => {
      one.begun = true;
      one.playing ??= Date.now();
    });
    video.addEventListener("waiting", () => {
      if (one.begun && !video.seeking && !video.ended && video.readyState < 3) one.stalls++;
    });
    video.addEventListener("error", () => one.errors.push(`video: ${video.error?.message}`));
    watched[name] = one;
    return one;
  }

  /**
   * What a URL is, by its path; where its token and what the player tells are left out. `kbps` is the bit rate of the
   * pictures that are asked for.
   */
  function note(one, phase, url, { bytes, text, kbps } = {}) {
    const { origin, pathname } = new URL(url, location);
    // What the test itself serves.
    if (pathname.startsWith("/site/")) return;
    const path = pathname.replace(/^\/t\/[^/]+/, "");
    const kind = path === "/steering" ? "steering" : /\.(m3u8|mpd)$/.test(path) ? "manifest" : "segment";
    const order = kind === "steering" && text ? JSON.parse(text)["PATHWAY-PRIORITY"] : undefined;
    // A player that has read JSON does not tell how long it was; the edge writes it without spaces.
    const size = kind === "steering" ? text?.length : bytes;
    one.log.push({ at: Date.now(), phase, kind, origin, path, bytes: size, order, kbps, told: url.includes("CMCD=") });
  }

  window.site = {
    hls(name, manifest, cmcd) {
      const one = watch(name);
      class Telling extends Hls.DefaultConfig.loader {
        load(context, config, callbacks) {
          const { frag } = context;
          const pictures = frag?.type === "main" && frag.sn !== "initSegment";
          note(one, "asked", context.url, { kbps: pictures ? hls.levels[frag.level].bitrate / 1000 : undefined });
          super.load(context, config, {
            ...callbacks,
            onSuccess(response, stats, asked, details) {
              const { data } = response;
              const text = typeof data === "string" ? data : data instanceof ArrayBuffer ? "" : JSON.stringify(data);
              note(one, "came", asked.url, { bytes: stats.loaded, text });
              callbacks.onSuccess(response, stats, asked, details);
            },
            onAbort(...told) {
              note(one, "aborted", context.url);
              callbacks.onAbort?.(...told);
            },
          });
        }
      }
      const hls = new Hls({ enableWorker: false, maxBufferLength: AHEAD, maxMaxBufferLength: AHEAD, loader: Telling, cmcd });
      hls.on(Hls.Events.ERROR, (_, { fatal, type, details, error }) => {
        if (fatal) one.errors.push(`${type} ${details} ${error?.message ?? ""}`);
      });
      // It tells no startup time: an edge takes it from its first request here to the report that it plays.
      one.startup = () => {
        const { origin } = new URL(cmcd.eventTargets[0].url);
        const media = one.log.filter((entry) => entry.origin === origin && entry.kind !== "steering");
        const first = (phase) => media.find((entry) => entry.phase === phase)?.at;
        const plays = posts.find(({ text }) => /\bsta=p\b/.test(text) && text.includes(`"${cmcd.sessionId}"`));
        return { least: plays?.left - first("came"), most: plays?.answered - first("asked") };
      };
      one.kbps = () => hls.levels[hls.currentLevel]?.bitrate / 1000;
      hls.attachMedia(one.video);
      hls.loadSource(manifest);
      one.video.play().catch((error) => one.errors.push(String(error)));
    },
    async dash(name, manifest, cmcd) {
      const one = watch(name);
      shaka.polyfill.installAll();
      const player = new shaka.Player();
      player.configure({ cmcd, streaming: { bufferingGoal: AHEAD } });
      const failed = (error) => one.errors.push(`shaka ${error.category}/${error.code} ${error.data ?? error}`);
      player.addEventListener("error", ({ detail }) => failed(detail));
      const net = player.getNetworkingEngine();
      net.registerRequestFilter((_, request, context) => {
        // What it posts of itself, it posts before it loads, too.
        if (request.method === "POST") return;
        one.asked ??= Date.now();
        const pictures = context?.stream?.type === "video" && context.segment;
        const kbps = pictures ? context.stream.bandwidth / 1000 : undefined;
        note(one, "asked", request.uris[0], { kbps });
      });
      net.registerResponseFilter((_, response) => {
        if (response.originalRequest?.method === "POST") return;
        const steering = response.uri.includes("/steering");
        const text = steering ? new TextDecoder().decode(response.data) : "";
        note(one, "came", response.uri, { bytes: response.data.byteLength, text });
      });
      await player.attach(one.video);
      // After what the player itself does then.
      one.video.addEventListener("playing", () => (one.played ??= Date.now()));
      const loading = Date.now();
      // It tells `msd`: from within load() and before it asks for something, to its own listener of `playing`.
      one.startup = () => ({ least: one.playing - one.asked, most: one.played - loading });
      one.kbps = () => player.getVariantTracks().find(({ active }) => active)?.videoBandwidth / 1000;
      await player.load(manifest).catch(failed);
      one.video.play().catch((error) => one.errors.push(String(error)));
    },
    pause: () => Object.values(watched).forEach(({ video }) => video.pause()),
    state: () =>
      Object.fromEntries(
        Object.entries(watched).map(([name, { video, log, errors, stalls, startup, kbps }]) => {
          const buffered = video.buffered.length > 0 ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0;
          const { totalVideoFrames: frames } = video.getVideoPlaybackQuality();
          const measured = { startup: startup?.(), kbps: kbps?.() };
          return [name, { time: video.currentTime, frames, buffered, errors, stalls, log, ...measured }];
        }),
      ),
  };
}
