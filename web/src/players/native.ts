// The browser's own player of HLS: it chooses what it fetches and tells little about it.
import type { Ears, Player } from "./player.ts";

export const HLS_TYPE = "application/vnd.apple.mpegurl";

export function supported(video: HTMLVideoElement): boolean {
  return video.canPlayType(HLS_TYPE) !== "";
}

export async function open(video: HTMLVideoElement, url: string, startAt: number, ears: Ears): Promise<Player> {
  const ended = new AbortController();
  const { signal } = ended;
  video.addEventListener(
    "error",
    () => {
      const { code, message } = video.error ?? { code: 0, message: "" };
      const sentence =
        code === MediaError.MEDIA_ERR_NETWORK
          ? "The connection to the server broke. It may have been stopped, or the network is down."
          : "This browser could not play the video by itself.";
      ears.failed(sentence, `media error ${code} ${message}`.trim());
    },
    { signal },
  );
  video.addEventListener("loadedmetadata", () => startAt > 0 && (video.currentTime = startAt), { signal, once: true });
  video.addEventListener("resize", () => ears.changed(), { signal });
  video.src = url;

  return {
    kind: "native",
    engine: "the browser itself",
    qualities: () => [],
    playing: () =>
      video.videoHeight > 0 ? { id: "", width: video.videoWidth, height: video.videoHeight, bitrate: 0 } : undefined,
    chosen: () => "auto",
    choose: () => {},
    audios: () => [],
    audio: () => undefined,
    chooseAudio: () => {},
    bandwidth: () => undefined,
    async destroy() {
      ended.abort();
      video.removeAttribute("src");
      video.load();
    },
  };
}
