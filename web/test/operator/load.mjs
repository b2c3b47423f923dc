// Clients of the edge under test that count what they are answered: over HTTP/1.1 and HTTP/2 Node's own, over
// HTTP/3 a page in a Chromium that is held to it.
import { createHash } from "node:crypto";
import { Agent, request } from "node:http";
import { connect } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { Viewer } from "../browser/viewer.mjs";
import { PLAYER } from "./origin.mjs";

/** Playbacks: by which protocol, what the player calls what it plays, and its bit rate. */
const PLAYBACKS = [
  { by: "h1", title: "Harbour", kbps: 2400 },
  { by: "h1", title: "Harbour", kbps: 900 },
  { by: "h2", title: "The long river", kbps: 4200 },
  { by: "h2", title: "Night train", kbps: 6000 },
  { by: "h3", title: "Delta", kbps: 3100 },
];
const PAUSE_MS = 25;

export class Load {
  requests = 0;
  bytes = 0;
  by = { h1: 0, h2: 0, h3: 0 };
  /** Requests of playbacks. */
  played = 0;

  constructor(edge) {
    this.edge = edge;
    this.agent = new Agent({ keepAlive: true });
    this.running = undefined;
    this.ending = false;
  }

  /** As the edge is asked for it over plain HTTP. */
  url(path) {
    return `${this.edge.http}${path}`;
  }

  async begin() {
    this.h2 = connect(this.edge.https, { rejectUnauthorized: false });
    await new Promise((resolve, reject) => this.h2.once("connect", resolve).once("error", reject));
    const key = this.h2.socket.getPeerX509Certificate().publicKey.export({ type: "spki", format: "der" });
    const spki_sha256 = createHash("sha256").update(key).digest("base64");
    this.viewer = await Viewer.open({ facts: { spki_sha256 }, port: new URL(this.edge.https).port }, "h3");
    const page = await this.viewer.page.goto(`${this.edge.https}${PLAYER}`);
    this.#answered("h3", (await page.body()).length);
    const playbacks = PLAYBACKS.map((playback, number) => this.#play(playback, number));
    this.running = Promise.all([...playbacks, this.#stray()]);
  }

  /** Ends when all that was asked is answered. */
  async end() {
    this.ending = true;
    await this.running;
    this.h2?.close();
    this.agent.destroy();
    await this.viewer?.close();
    this.viewer = undefined;
  }

  /** Asks once, and answers what became of it in the cache. */
  async ask(path) {
    return this.#h1(path);
  }

  async #play({ by, title, kbps }, number) {
    for (let segment = 1; !this.ending; segment++) {
      const told = `br=${kbps},cid="${title}",mtp=${3 * kbps},ot=v,sf=h,sid="viewer-${number}",st=v,sta=p,v=2`;
      const path = `/film/${segment % 40}.m4s?CMCD=${encodeURIComponent(told)}`;
      await { h1: () => this.#h1(path), h2: () => this.#h2(path), h3: () => this.#h3(path) }[by]();
      this.played++;
      await sleep(PAUSE_MS);
    }
  }

  /** What nobody plays. */
  async #stray() {
    for (let number = 0; !this.ending; number++) {
      await this.#h1(number % 2 ? "/missing.txt" : "/broken.txt");
      await this.#h1(`/film/new-${number}.txt`);
      await sleep(3 * PAUSE_MS);
    }
  }

  #answered(by, bytes) {
    this.requests++;
    this.bytes += bytes;
    this.by[by]++;
  }

  #h1(path) {
    return new Promise((resolve, reject) => {
      const asked = request(this.url(path), { agent: this.agent }, (response) => {
        let bytes = 0;
        response.on("data", (data) => (bytes += data.length));
        response.on("error", reject);
        response.on("end", () => {
          this.#answered("h1", bytes);
          resolve(String(response.headers["cache-status"]));
        });
      });
      asked.on("error", reject);
      asked.end();
    });
  }

  #h2(path) {
    return new Promise((resolve, reject) => {
      const stream = this.h2.request({ ":path": path });
      let bytes = 0;
      stream.on("data", (data) => (bytes += data.length));
      stream.on("error", reject);
      stream.on("end", () => {
        this.#answered("h2", bytes);
        resolve();
      });
      stream.end();
    });
  }

  async #h3(path) {
    const [bytes, protocol] = await this.viewer.page.evaluate(async (path) => {
      const answer = await fetch(path, { cache: "no-store" });
      const body = await answer.arrayBuffer();
      const [timing] = performance.getEntriesByName(answer.url).slice(-1);
      performance.clearResourceTimings();
      return [body.byteLength, timing?.nextHopProtocol];
    }, path);
    if (protocol !== "h3") throw new Error(`the page that is held to HTTP/3 was answered over ${protocol}`);
    this.#answered("h3", bytes);
  }
}
