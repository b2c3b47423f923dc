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

  function watch(name) {
    const video = document.createElement("video");
    video.muted = true;
    document.body.append(video);
    const log = [];
    const one = { video, log, errors: [], stalls: 0, begun: false };
    video.addEventListener("playing", () => (one.begun = true));
    video.addEventListener("waiting", () => {
      if (one.begun && !video.seeking && !video.ended && video.readyState < 3) one.stalls++;
    });
    video.addEventListener("error", () => one.errors.push(`video: ${video.error?.message}`));
    watched[name] = one;
    return one;
  }

  /** What a URL is, by its path; where its token and what the player tells are left out. */
  function note(one, phase, url, bytes, text) {
    const { origin, pathname } = new URL(url, location);
    // What the test itself serves.
    if (pathname.startsWith("/site/")) return;
    const path = pathname.replace(/^\/t\/[^/]+/, "");
    const kind = path === "/steering" ? "steering" : /\.(m3u8|mpd)$/.test(path) ? "manifest" : "segment";
    const order = kind === "steering" && text ? JSON.parse(text)["PATHWAY-PRIORITY"] : undefined;
    // A player that has read JSON does not tell how long it was; the edge writes it without spaces.
    const size = kind === "steering" ? text?.length : bytes;
    one.log.push({ phase, kind, origin, path, bytes: size, order, told: url.includes("CMCD=") });
  }

  window.site = {
    hls(name, manifest, cmcd) {
      const one = watch(name);
      class Telling extends Hls.DefaultConfig.loader {
        load(context, config, callbacks) {
          note(one, "asked", context.url);
          super.load(context, config, {
            ...callbacks,
            onSuccess(response, stats, asked, details) {
              const { data } = response;
              const text = typeof data === "string" ? data : data instanceof ArrayBuffer ? "" : JSON.stringify(data);
              note(one, "came", asked.url, stats.loaded, text);
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
      net.registerRequestFilter((_, request) => {
        if (request.method !== "POST") note(one, "asked", request.uris[0]);
      });
      net.registerResponseFilter((_, response) => {
        if (response.originalRequest?.method === "POST") return;
        const steering = response.uri.includes("/steering");
        note(one, "came", response.uri, response.data.byteLength, steering ? new TextDecoder().decode(response.data) : "");
      });
      await player.attach(one.video);
      await player.load(manifest).catch(failed);
      one.video.play().catch((error) => one.errors.push(String(error)));
    },
    pause: () => Object.values(watched).forEach(({ video }) => video.pause()),
    state: () =>
      Object.fromEntries(
        Object.entries(watched).map(([name, { video, log, errors, stalls }]) => {
          const buffered = video.buffered.length > 0 ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0;
          return [name, { time: video.currentTime, frames: video.getVideoPlaybackQuality().totalVideoFrames, buffered, errors, stalls, log }];
        }),
      ),
  };
}
