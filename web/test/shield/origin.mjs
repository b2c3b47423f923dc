// A far origin that is narrow: a time until the first byte of each answer, and so many bytes a second of each.
import { createServer } from "node:http";
import { readFile, readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const TYPES = { ".m3u8": "application/vnd.apple.mpegurl", ".mp4": "video/mp4", ".m4s": "video/iso.segment" };
/** A piece of an answer is sent so often. */
const STEP_MS = 25;

export class Origin {
  /**
   * Serves the files of `folder`: each answer begins after `latencyMs`, and comes at `bytesPerSecond`. What is `near`
   * (path, type and bytes of each) comes at once, and is not counted.
   */
  static async start(folder, { latencyMs, bytesPerSecond }, near) {
    const files = new Map();
    for (const name of await readdir(folder)) files.set(`/${name}`, await readFile(join(folder, name)));
    const origin = new Origin(files, latencyMs, bytesPerSecond, near);
    await new Promise((resolve, reject) => {
      origin.server.once("error", reject);
      origin.server.listen(0, "127.0.0.1", resolve);
    });
    return origin;
  }

  constructor(files, latencyMs, bytesPerSecond, near) {
    /** How often each path was asked for. */
    this.asked = new Map();
    this.server = createServer(async (request, response) => {
      const path = new URL(request.url, "http://origin").pathname;
      const [, type, page] = near.find(([at]) => at === path) ?? [];
      if (page) return void response.writeHead(200, { "content-type": type }).end(page);
      this.asked.set(path, (this.asked.get(path) ?? 0) + 1);
      await sleep(latencyMs);
      const bytes = files.get(path);
      if (!bytes) return void response.writeHead(404).end();
      response.writeHead(200, {
        "content-type": TYPES[extname(path)] ?? "application/octet-stream",
        "content-length": bytes.length,
        "cache-control": "max-age=3600",
      });
      const began = performance.now();
      for (let sent = 0; sent < bytes.length && !response.destroyed; ) {
        await sleep(STEP_MS);
        const due = Math.min(bytes.length, Math.ceil(((performance.now() - began) / 1000) * bytesPerSecond));
        response.write(bytes.subarray(sent, due));
        sent = due;
      }
      response.end();
    });
  }

  get url() {
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
