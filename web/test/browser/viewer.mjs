// A viewer: Debian's Chromium with a fresh profile, held to HTTP/2 or to HTTP/3, and what it can be asked.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const STEP_MS = 30_000;
/** Audio and video may end this far apart (seconds). */
export const AGREE = 0.1;

export class Viewer {
  /** `protocol` is `h2` or `h3`; `more` are further flags of the browser. */
  static async open({ facts, port }, protocol, more = []) {
    const profile = await mkdtemp(join(tmpdir(), "headwater-profile-"));
    // prettier-ignore
    const args = [
      "--no-sandbox", "--disable-gpu", "--no-first-run", "--mute-audio",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--autoplay-policy=no-user-gesture-required",
      `--ignore-certificate-errors-spki-list=${facts.spki_sha256}`,
      ...(protocol === "h3"
        ? ["--enable-quic", `--origin-to-force-quic-on=127.0.0.1:${port},localhost:${port}`]
        : ["--disable-quic"]),
      ...more,
    ];
    const context = await chromium
      .launchPersistentContext(profile, {
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        headless: true,
        args,
        viewport: { width: 1360, height: 860 },
        timeout: 60_000,
      })
      .catch(async (error) => {
        await rm(profile, { recursive: true, force: true });
        throw error;
      });
    context.setDefaultTimeout(STEP_MS);
    await context.addInitScript(keepSourceBuffers);
    return new Viewer(context, profile, context.pages()[0] ?? (await context.newPage()));
  }

  constructor(context, profile, page) {
    this.context = context;
    this.profile = profile;
    this.page = page;
    /** Everything a developer would see in red. */
    this.complaints = [];
    page.on("console", (message) => message.type() === "error" && this.complaints.push(message.text()));
    page.on("pageerror", (error) => this.complaints.push(String(error)));
  }

  async close() {
    await this.context.close().catch(() => {});
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 }).catch(() => {});
  }

  /** Opens the watch page of an asset in a player and starts it. */
  async watch(asset, player) {
    const url = new URL(asset.player);
    url.searchParams.set("player", player);
    await this.page.goto(url.href, { waitUntil: "load" });
    await this.until(() => window.headwater?.player && window.headwater.video.readyState >= 2, "the video has a first frame");
    await this.page.evaluate(() => void window.headwater.video.play());
  }

  /** Where playback stands. */
  now() {
    return this.page.evaluate(() => {
      const { video, errors, warnings } = window.headwater;
      const { totalVideoFrames: frames, droppedVideoFrames: dropped } = video.getVideoPlaybackQuality();
      return { time: video.currentTime, duration: video.duration, height: video.videoHeight, frames, dropped, errors, warnings };
    });
  }

  /** Waits until playback got `seconds` further and frames were decoded on the way. */
  async advance(seconds) {
    const { time, frames } = await this.now();
    await this.until(
      ([from, by, had]) => {
        const { video, errors } = window.headwater;
        if (errors.length > 0) throw new Error(errors.join("; "));
        const decoded = video.getVideoPlaybackQuality().totalVideoFrames;
        return video.currentTime >= from + by && decoded >= had + by * 10;
      },
      `playback advances ${seconds} s from ${time.toFixed(2)} s`,
      [time, seconds, frames],
    );
    return this.now();
  }

  /** Jumps, and waits until playback stands there and goes on from there. */
  async seek(to, onward) {
    await this.page.evaluate((at) => void (window.headwater.video.currentTime = at), to);
    await this.until(
      (at) => !window.headwater.video.seeking && Math.abs(window.headwater.video.currentTime - at) < 2,
      `the seek to ${to} s ends`,
      to,
    );
    return this.advance(onward);
  }

  /** Waits until the whole video is buffered. */
  async bufferAll() {
    await this.until(() => {
      const { video } = window.headwater;
      const { buffered, duration } = video;
      return buffered.length === 1 && buffered.start(0) < 0.2 && buffered.end(0) > duration - 0.3;
    }, "the whole video is buffered");
  }

  /**
   * The audio and video ranges around the playhead, once they agree or time is up. With `endsOnly` they may
   * start apart: a player that changes quality throws away what lies behind the playhead.
   */
  async agreement(endsOnly = false) {
    const agrees = ([allowed, endsAlone]) => {
      const [video, audio] = window.__ranges();
      if (!video || !audio) return false;
      return (endsAlone || Math.abs(video[0] - audio[0]) <= allowed) && Math.abs(video[1] - audio[1]) <= allowed;
    };
    const agreed = await this.until(agrees, "audio and video agree", [AGREE, endsOnly], 15_000).then(
      () => true,
      () => false,
    );
    const [video, audio] = await this.page.evaluate(() => window.__ranges());
    return { agreed, video, audio };
  }

  segments() {
    return this.page.evaluate(() => window.headwater.segments.map((segment) => ({ ...segment })));
  }

  /** Waits until the browser told the protocol of every segment. */
  async settledSegments() {
    await this.until(() => window.headwater.segments.every((segment) => segment.protocol !== ""), "every segment's protocol is known");
    return this.segments();
  }

  async until(condition, what, argument, timeout = STEP_MS) {
    try {
      await this.page.waitForFunction(condition, argument, { timeout, polling: 50 });
    } catch (error) {
      const state = await this.now().catch(() => undefined);
      throw new Error(`not within ${timeout / 1000} s: ${what}; state: ${JSON.stringify(state)}; ${String(error).split("\n")[0]}`);
    }
  }

  async screenshot(path, options = {}) {
    await this.page.screenshot({ path, ...options });
  }
}

/** Runs in the page before its own scripts: remembers every SourceBuffer that a player makes. */
function keepSourceBuffers() {
  const kept = [];
  const original = MediaSource.prototype.addSourceBuffer;
  MediaSource.prototype.addSourceBuffer = function (type) {
    const buffer = original.call(this, type);
    kept.push({ type, buffer, source: this });
    return buffer;
  };
  /** `[video, audio]`: of each the buffered range around the playhead, as `[start, end]`. */
  window.__ranges = () =>
    ["video/", "audio/"].map((kind) => {
      const entry = kept.findLast(({ type, source }) => type.startsWith(kind) && source.readyState !== "closed");
      if (!entry) return undefined;
      const { buffered } = entry.buffer;
      const at = document.querySelector("video").currentTime;
      for (let i = 0; i < buffered.length; i++) {
        if (buffered.start(i) <= at + 0.1 && at <= buffered.end(i) + 0.1) return [buffered.start(i), buffered.end(i)];
      }
      return undefined;
    });
}
