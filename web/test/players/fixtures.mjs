// Short mezzanines in every codec that this Chromium decodes, made by the ffmpeg command.
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const PICTURE = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=12"];
const sound = (tone) => ["-f", "lavfi", "-i", `sine=frequency=${tone}:sample_rate=48000:duration=12`];
const AVC = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-b:v", "300k", "-bf", "2"];
const GOPS = ["-g", "25", "-keyint_min", "25", "-sc_threshold", "0"];

/** Assets and the codecs that they show, one of which is new in each. */
export const CODECS = [
  { asset: "av1-opus", codecs: ["AV1", "Opus"] },
  { asset: "vp9-opus", codecs: ["VP9", "Opus"] },
  { asset: "avc-flac", codecs: ["H.264", "FLAC"] },
];

// prettier-ignore
const RECIPES = {
  "avc-aac": [...AVC, "-c:a", "aac"],
  "av1-opus": ["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-pix_fmt", "yuv420p", "-b:v", "200k", "-c:a", "libopus"],
  "vp9-opus": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-pix_fmt", "yuv420p", "-b:v", "200k", "-c:a", "libopus"],
  "avc-flac": [...AVC, "-c:a", "flac", "-strict", "-2"],
  "avc-mp3": [...AVC, "-c:a", "libmp3lame"],
};

/** A folder for `--input` with an asset of each recipe, one with two sounds, one that is longer, and one encrypted. */
export async function makeFixtures(folder) {
  await mkdir(folder, { recursive: true });
  for (const [name, codecs] of Object.entries(RECIPES)) {
    await ffmpeg(...PICTURE, ...sound(440), ...codecs, ...GOPS, join(folder, `${name}.mp4`));
  }
  // prettier-ignore
  await ffmpeg(
    ...PICTURE, ...sound(440), ...sound(660), "-map", "0:v", "-map", "1:a", "-map", "2:a", ...AVC, ...GOPS, "-c:a", "aac",
    "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", join(folder, "two-sounds.mp4"),
  );
  // Longer than what players keep ahead: trick play has something to fetch.
  const long = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=60"];
  await ffmpeg(...long, ...AVC, ...GOPS, join(folder, "long.mp4"));
  // 32 hexadecimal digits, as a person would type them.
  await writeFile(join(folder, "encrypted.key"), "5d0c4a4cf9c34e6a8b7f5f6a3f1e2d9b\n");
  const renditions = [{ file: "avc-aac.mp4" }];
  const descriptor = { headwater: 1, renditions, segment_key: { file: "encrypted.key" } };
  await writeFile(join(folder, "encrypted.headwater.json"), JSON.stringify(descriptor));
  return folder;
}

export async function ffmpeg(...args) {
  await run("ffmpeg", ["-v", "error", "-nostdin", "-y", ...args], { timeout: 180_000 });
}
