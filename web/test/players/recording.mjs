// A recording that grows: FFmpeg makes a fragmented MP4 with a fragment a second, and this appends them to
// another file at that pace, as a recorder would.
import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ffmpeg } from "./fixtures.mjs";

/** One fragment in each. */
const PACE_MS = 1000;

export class Recording {
  /** Begins to write `path`, which goes on for at most `seconds`; `scratch` holds the whole meanwhile. */
  static async start(path, scratch, seconds) {
    await mkdir(dirname(scratch), { recursive: true });
    // prettier-ignore
    await ffmpeg(
      "-f", "lavfi", "-i", `testsrc2=size=320x180:rate=25:duration=${seconds}`,
      "-f", "lavfi", "-i", `sine=frequency=440:sample_rate=48000:duration=${seconds}`,
      "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", "300k", "-bf", "2",
      "-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-c:a", "aac",
      "-movflags", "empty_moov+default_base_moof+frag_keyframe", scratch,
    );
    const { head, fragments, tail } = parts(await readFile(scratch));
    await writeFile(path, head);
    return new Recording(path, fragments, tail);
  }

  constructor(path, fragments, tail) {
    this.path = path;
    this.tail = tail;
    this.left = fragments;
    this.writes = Promise.resolve();
    this.failed = undefined;
    this.timer = setInterval(() => {
      const next = this.left.shift();
      if (next) this.#append(next);
      else clearInterval(this.timer);
    }, PACE_MS);
  }

  /** Writes no more; what says that it is finished (`mfra`) comes last. */
  async finish() {
    clearInterval(this.timer);
    this.#append(this.tail);
    await this.writes;
    if (this.failed) throw this.failed;
  }

  #append(bytes) {
    this.writes = this.writes.then(() => appendFile(this.path, bytes)).catch((error) => (this.failed = error));
  }
}

/** What stands before the first fragment, each fragment (`moof` with its `mdat`), and what follows the last. */
function parts(bytes) {
  const fragments = [];
  let head = 0;
  let end = 0;
  let began;
  for (let at = 0; at + 8 <= bytes.length; ) {
    const size = bytes.readUInt32BE(at);
    const kind = bytes.toString("latin1", at + 4, at + 8);
    if (size < 8) throw new Error(`a box ${kind} of ${size} bytes`);
    if (kind === "moof") {
      if (fragments.length === 0) head = at;
      began = at;
    }
    at += size;
    if (kind === "mdat") {
      fragments.push(bytes.subarray(began, at));
      end = at;
    }
  }
  return { head: bytes.subarray(0, head), fragments, tail: bytes.subarray(end) };
}
