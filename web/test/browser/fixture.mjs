// Mezzanines made by the ffmpeg command: one file, and a folder of two renditions.
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
export const DURATION = 24;

/**
 * A folder for `--input` with two assets that play, a file and a folder of two renditions, and one that does not.
 * Sync samples come every 2 s.
 * The name with a space shows that names are encoded wherever they become part of a URL.
 */
export async function makeFixture(folder) {
  const ladder = join(folder, "ladder");
  await mkdir(ladder, { recursive: true });
  await encode(join(folder, "moving bars.mp4"), 360, 440, "600k");
  await encode(join(ladder, "360p.mp4"), 360, 660, "600k");
  await encode(join(ladder, "180p.mp4"), 180, 660, "150k");
  await writeFile(join(folder, "broken.mp4"), "no film at all");
  return { input: folder, single: "moving bars", ladder: "ladder" };
}

async function encode(output, height, tone, bitrate) {
  const width = (height * 16) / 9;
  // prettier-ignore
  await run("ffmpeg", [
    "-v", "error", "-nostdin", "-y",
    "-f", "lavfi", "-i", `testsrc2=size=${width}x${height}:rate=25`,
    "-f", "lavfi", "-i", `sine=frequency=${tone}:sample_rate=48000`,
    "-t", String(DURATION),
    "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-b:v", bitrate,
    "-bf", "2", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0",
    "-c:a", "aac", "-b:a", "96k", "-ac", "2",
    output,
  ], { timeout: 120_000 });
}
