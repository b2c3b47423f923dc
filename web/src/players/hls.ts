// HLS by hls.js.
import Hls, { type ErrorData, type Level } from "hls.js";
import { type Ears, type Player, type Quality, sentenceFor } from "./player.ts";

/** Recoveries from a media error before it is called fatal, and the time after which they are forgiven. */
const RECOVERIES = 2;
const FORGIVEN_MS = 30_000;

export async function open(video: HTMLVideoElement, url: string, startAt: number, ears: Ears): Promise<Player> {
  if (!Hls.isSupported()) throw new Error("Media Source Extensions are missing");
  const hls = new Hls({
    // fMP4 is appended as it comes: there is nothing for a worker to do.
    enableWorker: false,
    startPosition: startAt > 0 ? startAt : -1,
    backBufferLength: 60,
    xhrSetup: (xhr, requested) => listen(xhr, requested, ears),
  });

  const recoveries: number[] = [];
  hls.on(Hls.Events.ERROR, (_, data) => {
    const detail = describe(data);
    if (!data.fatal) return ears.warned(detail);
    const now = performance.now();
    const recent = recoveries.filter((at) => now - at < FORGIVEN_MS).length;
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && recent < RECOVERIES) {
      recoveries.push(now);
      ears.warned(detail);
      hls.recoverMediaError();
      return;
    }
    const sentence =
      data.type === Hls.ErrorTypes.NETWORK_ERROR
        ? sentenceFor(data.response?.code || undefined)
        : "This browser could not decode the video.";
    hls.stopLoad();
    ears.failed(sentence, detail);
  });
  for (const event of [
    Hls.Events.MANIFEST_PARSED,
    Hls.Events.LEVEL_SWITCHED,
    Hls.Events.LEVELS_UPDATED,
    Hls.Events.AUDIO_TRACKS_UPDATED,
    Hls.Events.AUDIO_TRACK_SWITCHED,
  ] as const) {
    hls.on(event, () => ears.changed());
  }
  hls.attachMedia(video);
  hls.loadSource(url);

  return {
    kind: "hls",
    engine: `hls.js ${Hls.version}`,
    qualities: () => hls.levels.map(quality).sort((a, b) => b.height - a.height || b.bitrate - a.bitrate),
    playing() {
      const at = hls.currentLevel >= 0 ? hls.currentLevel : hls.loadLevel;
      const level = hls.levels[at];
      return level && quality(level, at);
    },
    chosen: () => (hls.autoLevelEnabled ? "auto" : String(hls.nextLevel)),
    choose(id) {
      hls.nextLevel = id === "auto" ? -1 : Number(id);
      ears.changed();
    },
    audios: () => hls.audioTracks.map((track, at) => ({ id: String(at), label: track.name || track.lang || `Audio ${at + 1}` })),
    audio: () => (hls.audioTrack >= 0 ? String(hls.audioTrack) : undefined),
    chooseAudio(id) {
      hls.audioTrack = Number(id);
    },
    bandwidth: () => hls.bandwidthEstimate,
    async destroy() {
      hls.destroy();
    },
  };
}

function quality(level: Level, at: number): Quality {
  return { id: String(at), width: level.width, height: level.height, bitrate: level.maxBitrate || level.bitrate };
}

function listen(xhr: XMLHttpRequest, requested: string, ears: Ears): void {
  const began = performance.now();
  xhr.addEventListener("load", () => {
    if (xhr.status < 200 || xhr.status >= 300) return;
    ears.heard({
      url: xhr.responseURL || new URL(requested, location.href).href,
      cacheStatus: xhr.getResponseHeader("cache-status") ?? "",
      bytes: xhr.response instanceof ArrayBuffer ? xhr.response.byteLength : 0,
      ms: performance.now() - began,
    });
  });
}

function describe(data: ErrorData): string {
  const where = data.url ?? data.frag?.url ?? "";
  return [data.type, data.details, data.response?.code, data.error?.message, where].filter(Boolean).join(" ");
}
