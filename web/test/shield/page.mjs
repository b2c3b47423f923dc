// A page with hls.js, which plays one playlist to its end and tells how that was. The origin has it, so that the
// browser gets it as it gets the video (a route of the test's own would have it ask for everything with `no-cache`).
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const script = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "node_modules", "hls.js", "dist", "hls.js");

const html = `<!doctype html><meta charset="utf-8"><title>Player</title><script src="hls.js"></script><body></body>`;

/** What the origin has to serve of it: path, type and bytes. */
export async function files() {
  return [
    ["/player/", "text/html", Buffer.from(html)],
    ["/player/hls.js", "text/javascript", await readFile(script)],
  ];
}

/** Opens it in a page of a browser, through the shield at `base`. */
export async function open(page, base) {
  await page.goto(`${base}/player/`, { waitUntil: "load" });
  await page.evaluate(face);
}

/** Runs in the page. */
function face() {
  const { Hls } = window;
  /** Plays `url` to its end. Times in seconds: until the first picture moved, and how much longer than the video it took. */
  window.watch = (url) =>
    new Promise((resolve, reject) => {
      const video = document.createElement("video");
      video.muted = true;
      document.body.append(video);
      const hls = new Hls({ enableWorker: false, maxBufferLength: 6, maxMaxBufferLength: 6 });
      hls.on(Hls.Events.ERROR, (_, data) => data.fatal && reject(new Error(`${data.type} ${data.details}`)));
      const asked = performance.now();
      let began;
      let stalls = 0;
      video.addEventListener("playing", () => (began ??= performance.now()));
      video.addEventListener("waiting", () => began !== undefined && stalls++);
      video.addEventListener("ended", () => {
        const took = (performance.now() - began) / 1000;
        resolve({ startup: (began - asked) / 1000, stalled: Math.max(0, took - video.duration), stalls });
        hls.destroy();
      });
      hls.attachMedia(video);
      hls.loadSource(url);
      video.play().catch((error) => error.name === "AbortError" || reject(error));
    });
}
