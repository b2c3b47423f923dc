// What the packager says of one asset (`report.json`), and how people read it.
import { Failure, getJson } from "./api.ts";
import { bitrate } from "./text.ts";

export interface Report {
  duration_ms: number;
  tracks: Track[];
  notes: Note[];
  /** Paths that players may begin with, relative to the report. */
  manifests?: string[];
  /** The path of the file to keep; none where there is no such file. */
  download?: string | null;
  recording?: "growing" | "finished" | null;
  encryption?: { method: string; key_served_by: "packager" | "operator" } | null;
}

export interface Track {
  kind: "video" | "audio";
  coding: string;
  display_height?: number;
  video_range?: string;
  channels?: number;
  language?: string | null;
  name?: string | null;
  peak_bits_per_s?: number | null;
}

export interface Note {
  kind: "skipped" | "warning" | "info";
  source?: number | null;
  track?: number | null;
  message: string;
}

/** How often an asset that is being prepared is asked for again, and at most how long each time. */
const RETRIES = 8;
const LONGEST_PAUSE_S = 10;

/** The report at this URL. What is being prepared is waited for, as long as the server names a time. */
export async function fetchReport(url: string): Promise<Report> {
  for (let left = RETRIES; ; left--) {
    try {
      return (await getJson(url)) as Report;
    } catch (error) {
      const seconds = error instanceof Failure ? error.retryAfter : undefined;
      if (seconds === undefined || left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * Math.min(seconds, LONGEST_PAUSE_S)));
    }
  }
}

const CODINGS: Record<string, string> = {
  avc: "H.264",
  hevc: "HEVC",
  av1: "AV1",
  vp9: "VP9",
  aac: "AAC",
  ac3: "AC-3",
  eac3: "E-AC-3",
  opus: "Opus",
  flac: "FLAC",
  mp3: "MP3",
};

/** A word or two for each track: `1080p HDR`, `English`. */
export function trackName(track: Track): string {
  if (track.kind === "video") {
    const dynamic = track.video_range && track.video_range !== "SDR" ? " HDR" : "";
    return `${track.display_height ?? "?"}p${dynamic}`;
  }
  return track.name || (track.language && languageName(track.language)) || "Sound";
}

/** The rest of what there is to say of it: `H.264 · 4.2 Mbit/s`, `AAC · stereo`. */
export function trackFacts(track: Track): string {
  const facts = [CODINGS[track.coding] ?? track.coding];
  if (track.kind === "audio" && track.channels) facts.push(channelName(track.channels));
  if (track.kind === "video" && track.peak_bits_per_s) facts.push(bitrate(track.peak_bits_per_s));
  return facts.join(" · ");
}

/** Who a note is about, where there are several: `Source 2, track 3`. */
export function noteSubject({ source, track }: Note, sources: boolean): string {
  const of = [];
  if (sources && typeof source === "number") of.push(`source ${source + 1}`);
  if (typeof track === "number") of.push(`track ${track}`);
  const text = of.join(", ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function channelName(count: number): string {
  return { 1: "mono", 2: "stereo", 6: "5.1", 8: "7.1" }[count] ?? `${count} channels`;
}

function languageName(tag: string): string {
  try {
    return new Intl.DisplayNames("en", { type: "language" }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}
