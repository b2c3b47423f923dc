// The live panel beside the video: protocols, cache, network and decoder, twice a second.
import { cacheState, type CacheState } from "./cache_status.ts";
import { pageProtocol } from "./delivery.ts";
import { byId, element, setText } from "./dom.ts";
import type { Player } from "./players/player.ts";
import { type Segment, tally } from "./segments.ts";
import { bitrate, plural, protocolName, size } from "./text.ts";

const EVERY_MS = 500;
const BARS = 40;
const ROWS = 12;

/** Shows the state of `player()` until the page goes away. */
export function startPanel(video: HTMLVideoElement, segments: readonly Segment[], player: () => Player | undefined): void {
  setText(byId("s-page"), protocolName(pageProtocol()));
  let drawn = "";
  const draw = () => {
    showPlayback(video, player());
    // Bars and rows are rebuilt only when a segment came or its timing became known.
    const last = segments.at(-1);
    const nothing = player()?.kind === "native" ? "the browser's own player does not tell" : "no segment yet";
    const state = `${nothing} ${segments.length} ${last?.url} ${segments.filter((each) => each.protocol).length}`;
    if (state !== drawn) {
      drawn = state;
      showSegments(segments, nothing);
    }
  };
  draw();
  setInterval(draw, EVERY_MS);
}

function showPlayback(video: HTMLVideoElement, player: Player | undefined): void {
  const playing = player?.playing();
  const quality = video.getVideoPlaybackQuality();
  setText(byId("s-player"), player?.engine ?? "–");
  setText(
    byId("s-playing"),
    video.videoHeight > 0
      ? [`${video.videoWidth} × ${video.videoHeight}`, playing?.bitrate ? bitrate(playing.bitrate) : ""].filter(Boolean).join(" · ")
      : "–",
  );
  setText(byId("s-bandwidth"), bitrate(player?.bandwidth()));
  setText(byId("s-buffer"), `${bufferAhead(video).toFixed(1)} s`);
  setText(
    byId("s-frames"),
    `${quality.totalVideoFrames.toLocaleString("en")} decoded, ${quality.droppedVideoFrames.toLocaleString("en")} dropped`,
  );
}

function bufferAhead(video: HTMLVideoElement): number {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i++) {
    if (buffered.start(i) <= currentTime + 0.1 && currentTime <= buffered.end(i)) return buffered.end(i) - currentTime;
  }
  return 0;
}

function showSegments(segments: readonly Segment[], nothing: string): void {
  const fetched = segments.filter((segment) => !segment.local);
  setText(byId("s-segments"), protocols(fetched));

  const counts = tally(segments);
  const known = fetched.length - (counts.get("unknown") ?? 0);
  const hits = (counts.get("hit") ?? 0) + (counts.get("stale") ?? 0);
  setText(byId("s-ratio"), known > 0 ? `${Math.round((100 * hits) / known)} %` : "–");
  setText(byId("s-ratio-of"), known > 0 ? `${hits} of ${plural(known, "segment")}` : nothing);

  const shown = fetched.slice(-BARS);
  const slowest = Math.max(...shown.map((segment) => segment.ms), 1);
  const strip = byId("s-strip");
  strip.setAttribute("aria-label", `Of the segments fetched: ${spoken(counts)}`);
  strip.replaceChildren(...shown.map((segment) => bar(segment, slowest)));
  byId("s-last").replaceChildren(...segments.slice(-ROWS).reverse().map(row));
  const header = fetched.at(-1)?.cacheStatus;
  setText(byId("s-header"), header ? `Cache-Status: ${header}` : "");
}

function protocols(segments: readonly Segment[]): string {
  const counts = new Map<string, number>();
  for (const { protocol } of segments) if (protocol) counts.set(protocol, (counts.get(protocol) ?? 0) + 1);
  return [...counts].map(([protocol, count]) => `${protocolName(protocol)} (${count})`).join(", ") || "–";
}

function spoken(counts: Map<CacheState, number>): string {
  return [...counts].map(([state, count]) => `${count} ${state}`).join(", ") || "none yet";
}

function bar(segment: Segment, slowest: number): HTMLElement {
  const state = cacheState(segment.cacheStatus);
  const made = element("span", { title: `${shortName(segment.url)}: ${state}, ${segment.ms} ms` });
  made.dataset.state = state;
  // Square root: a slow first fill does not flatten the hits that follow it.
  made.style.height = `${Math.max(12, Math.round(100 * Math.sqrt(segment.ms / slowest)))}%`;
  return made;
}

function row(segment: Segment): HTMLElement {
  const state = segment.local ? "browser" : cacheState(segment.cacheStatus);
  const cell = element("td", { textContent: state, title: segment.cacheStatus });
  cell.dataset.state = state;
  return element(
    "tr",
    {},
    element("td", { textContent: shortName(segment.url), title: segment.url }),
    element("td", { textContent: size(segment.bytes) }),
    element("td", { textContent: `${segment.ms} ms` }),
    element("td", { textContent: segment.local ? "–" : protocolName(segment.protocol) }),
    cell,
  );
}

/** `…/v1/12.m4s` → `v1/12.m4s`. */
function shortName(url: string): string {
  return new URL(url).pathname.split("/").slice(-2).map(decodeURIComponent).join("/");
}
