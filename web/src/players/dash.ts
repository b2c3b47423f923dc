// DASH by shaka-player, in its build that knows DASH alone.
import shaka from "shaka-player/dist/shaka-player.dash-es2021.js";
import { type Ears, type Player, type Quality, sentenceFor } from "./player.ts";

export async function open(video: HTMLVideoElement, url: string, startAt: number, ears: Ears): Promise<Player> {
  shaka.polyfill.installAll();
  if (!shaka.Player.isBrowserSupported()) throw new Error("Media Source Extensions are missing");
  const player = new shaka.Player();
  player.configure({
    streaming: { bufferingGoal: 30, rebufferingGoal: 1, bufferBehind: 60 },
    abr: { enabled: true },
  });
  player.getNetworkingEngine()?.registerResponseFilter((_type, response) => {
    ears.heard({
      url: response.uri,
      cacheStatus: response.headers["cache-status"] ?? "",
      bytes: response.data.byteLength,
      ms: response.timeMs ?? 0,
    });
  });
  player.addEventListener("error", (event) => {
    const error = (event as unknown as { detail: shaka.util.Error }).detail;
    if (error.severity === shaka.util.Error.Severity.CRITICAL) ears.failed(sentence(error), describe(error));
    else ears.warned(describe(error));
  });
  for (const event of ["trackschanged", "variantchanged", "adaptation", "audiotrackschanged", "audiotrackchanged"]) {
    player.addEventListener(event, () => ears.changed());
  }

  let choice = "auto";
  await player.attach(video);
  // Not awaited: the page shows the player's menus while the manifest is on its way.
  player.load(url, startAt > 0 ? startAt : null).then(
    () => ears.changed(),
    (error: unknown) => {
      const known = error as shaka.util.Error;
      if (known.code !== shaka.util.Error.Code.LOAD_INTERRUPTED) ears.failed(sentence(known), describe(known));
    },
  );

  return {
    kind: "dash",
    engine: `shaka-player ${shaka.Player.version.replace(/^v/, "")}`,
    qualities: () => qualities(player).map(({ quality }) => quality),
    playing: () => qualities(player).find(({ active }) => active)?.quality,
    chosen: () => choice,
    choose(id) {
      choice = id;
      const wanted = qualities(player).find(({ quality }) => quality.id === id);
      player.configure({ abr: { enabled: !wanted } });
      if (wanted) player.selectVideoTrack(wanted.track, true, 1);
      ears.changed();
    },
    audios: () =>
      player.getAudioTracks().map((track, at) => ({ id: String(at), label: track.label || track.language || `Audio ${at + 1}` })),
    audio() {
      const at = player.getAudioTracks().findIndex((track) => track.active);
      return at < 0 ? undefined : String(at);
    },
    chooseAudio(id) {
      const track = player.getAudioTracks()[Number(id)];
      if (track) player.selectAudioTrack(track);
    },
    bandwidth: () => player.getStats().estimatedBandwidth || undefined,
    async destroy() {
      await player.destroy();
    },
  };
}

function qualities(player: shaka.Player): { quality: Quality; track: shaka.extern.VideoTrack; active: boolean }[] {
  return player
    .getVideoTracks()
    .map((track) => ({
      quality: {
        id: `${track.width}x${track.height}@${track.bandwidth}`,
        width: track.width ?? 0,
        height: track.height ?? 0,
        bitrate: track.bandwidth,
      },
      track,
      active: track.active,
    }))
    .sort((a, b) => b.quality.height - a.quality.height || b.quality.bitrate - a.quality.bitrate);
}

function sentence(error: shaka.util.Error): string {
  const { Category, Code } = shaka.util.Error;
  switch (error.category) {
    case Category.NETWORK:
      return sentenceFor(error.code === Code.BAD_HTTP_STATUS ? Number(error.data[1]) : undefined);
    case Category.MANIFEST:
      return "The description of this video could not be understood.";
    default:
      return "This browser could not decode the video.";
  }
}

function describe(error: shaka.util.Error): string {
  const data = (error.data ?? []).filter((each: unknown) => typeof each === "string" || typeof each === "number");
  return [`shaka ${error.category}/${error.code}`, error.message, ...data.slice(0, 2)].filter(Boolean).join(" ");
}
