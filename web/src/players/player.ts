// The face that every player engine wears towards the page.
import type { Heard } from "../segments.ts";

export type PlayerKind = "hls" | "dash" | "native";

/** One entry of the quality menu. */
export interface Quality {
  id: string;
  width: number;
  height: number;
  /** Peak bits per second, as the manifest declares. */
  bitrate: number;
}

export interface AudioChoice {
  id: string;
  label: string;
}

export interface Player {
  readonly kind: PlayerKind;
  /** Name and version of the engine. */
  readonly engine: string;
  /** From the highest to the lowest; empty when the engine has no say. */
  qualities(): Quality[];
  /** What is on the screen, or is being fetched for it. */
  playing(): Quality | undefined;
  /** An id of `qualities`, or `auto`. */
  chosen(): string;
  choose(id: string): void;
  audios(): AudioChoice[];
  audio(): string | undefined;
  chooseAudio(id: string): void;
  /** Estimated bits per second of the network. */
  bandwidth(): number | undefined;
  destroy(): Promise<void>;
}

/** What a player tells the page. */
export interface Ears {
  /** Playback cannot go on; `sentence` is for the viewer, `detail` for whoever looks closer. */
  failed(sentence: string, detail: string): void;
  /** Something went wrong and the engine went on. */
  warned(detail: string): void;
  /** The list of qualities or audio tracks, or the choice among them, changed. */
  changed(): void;
  heard(response: Heard): void;
}

/** The sentence for a fatal answer to a request for a manifest or segment. */
export function sentenceFor(status: number | undefined): string {
  if (status === 410) return "This video was replaced while it played. Try again to watch the new version.";
  if (status === 404) return "This video is no longer here.";
  if (status === 401 || status === 403) return "The server does not allow this video to be played.";
  if (status !== undefined && status >= 500) return `The server could not deliver this video (status ${status}).`;
  if (status !== undefined && status >= 400) return `The server refused to deliver this video (status ${status}).`;
  return "The connection to the server broke. It may have been stopped, or the network is down.";
}
