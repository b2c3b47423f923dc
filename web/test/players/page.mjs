// A page with three players behind one face, `window.players`. It is served by the test itself under the stack's
// origin, so that what the players fetch comes from the stack.
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const modules = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "node_modules");

export const PLAYERS = [
  { name: "hls.js", manifest: "main.m3u8", script: "hls.js/dist/hls.js" },
  { name: "Shaka Player", manifest: "manifest.mpd", script: "shaka-player/dist/shaka-player.compiled.js" },
  { name: "dash.js", manifest: "manifest.mpd", script: "dashjs/dist/modern/umd/dash.all.min.js" },
];

/** Opens it in a page of a browser. */
export async function prepare(page, base) {
  const url = new URL("/players-under-test/", base);
  const scripts = [];
  for (const [at, { script }] of PLAYERS.entries()) {
    const body = await readFile(join(modules, script), "utf8");
    await page.route(`${url}${at}.js`, (route) => route.fulfill({ contentType: "text/javascript", body }));
    scripts.push(`<script src="${at}.js"></script>`);
  }
  const html = `<!doctype html><meta charset="utf-8"><title>Players</title>${scripts.join("")}<body></body>`;
  await page.route(String(url), (route) => route.fulfill({ contentType: "text/html", body: html }));
  await page.goto(String(url), { waitUntil: "load" });
  await page.evaluate(face);
}

/** Runs in the page: one face for the three. */
function face() {
  const { Hls, shaka, dashjs } = window;
  let video;
  let errors = [];
  let current = { destroy() {} };

  const openers = {
    "hls.js": (url) => {
      const hls = new Hls({ enableWorker: false });
      hls.on(Hls.Events.ERROR, (_, data) => {
        // A stall that it stepped over is its own way of waiting for data, as at every start. So is
        // the hole before the first picture: it takes the first decode time for zero, and with
        // B-frames the first picture is shown some hundredths later.
        const own = /bufferStalled|bufferNudge/i.test(data.details);
        const start = /bufferSeekOverHole/i.test(data.details) && video.currentTime < 0.5;
        if (data.fatal || !(own || start)) errors.push(`${data.type} ${data.details} ${data.error?.message ?? ""}`);
      });
      hls.attachMedia(video);
      hls.loadSource(url);
      const named = (track) => (track.lang ?? "").slice(0, 2);
      return {
        languages: () => hls.audioTracks.map(named),
        language: () => named(hls.audioTracks[hls.audioTrack] ?? {}),
        choose: (language) => (hls.audioTrack = hls.audioTracks.findIndex((track) => named(track) === language)),
        destroy: () => hls.destroy(),
      };
    },
    "Shaka Player": async (url) => {
      shaka.polyfill.installAll();
      const player = new shaka.Player();
      player.addEventListener("error", ({ detail }) => errors.push(`shaka ${detail.category}/${detail.code} ${detail.data ?? ""}`));
      await player.attach(video);
      await player.load(url);
      const languages = () => player.getAudioTracks().map((track) => track.language.slice(0, 2));
      return {
        languages,
        language: () => languages()[player.getAudioTracks().findIndex(({ active }) => active)],
        choose: (language) => player.selectAudioTrack(player.getAudioTracks()[languages().indexOf(language)]),
        trickPlay: (rate) => player.trickPlay(rate),
        destroy: () => player.destroy(),
      };
    },
    "dash.js": (url) => {
      const player = dashjs.MediaPlayer().create();
      player.updateSettings({ debug: { logLevel: 1 } });
      player.on("error", ({ error }) => errors.push(`dash.js ${error?.code} ${error?.message ?? error}`));
      player.initialize(video, url, true);
      const tracks = () => player.getTracksFor("audio");
      const named = (track) => (track?.lang ?? "").slice(0, 2);
      return {
        languages: () => tracks().map(named),
        language: () => named(player.getCurrentTrackFor("audio")),
        choose: (language) => player.setCurrentTrack(tracks().find((track) => named(track) === language)),
        // It looks for a new MPD from the `play` event on, and would miss one that comes before it has read the first.
        playsItself: true,
        destroy: () => player.destroy(),
      };
    },
  };

  window.players = {
    async open(name, url) {
      await current.destroy();
      document.body.replaceChildren();
      errors = [];
      video = document.createElement("video");
      video.muted = true;
      document.body.append(video);
      video.addEventListener("error", () => errors.push(`video: ${video.error?.message}`));
      current = await openers[name](url);
      if (current.playsItself) return;
      // Not awaited: it is answered when there is something to play.
      video.play().catch((error) => error.name === "AbortError" || errors.push(String(error)));
    },
    seek: (to) => void (video.currentTime = to),
    /** Whether playback is past a time and pictures were decoded, and sound unless there is none. */
    isPast(time, silent = false) {
      if (errors.length > 0) throw new Error(errors.join("; "));
      return (
        !video.seeking &&
        video.currentTime >= time &&
        video.getVideoPlaybackQuality().totalVideoFrames > 0 &&
        (silent || video.webkitAudioDecodedByteCount > 0)
      );
    },
    errors: () => errors,
    /** Jumps to the last seconds, once it is known where they are. */
    seekNearEnd() {
      const { duration } = video;
      if (!Number.isFinite(duration)) return false;
      if (video.currentTime < duration - 4) video.currentTime = duration - 3;
      return true;
    },
    hasEnded: () => video.ended,
    state: () => ({ time: video.currentTime, frames: video.getVideoPlaybackQuality().totalVideoFrames, sound: video.webkitAudioDecodedByteCount }),
    languages: () => current.languages(),
    language: () => current.language(),
    choose: (language) => void current.choose(language),
    trickPlay: (rate) => void current.trickPlay(rate),
  };
}
