// Clients of the edge under test, over HTTP/1.1 and HTTP/2, that count what they are answered.
import { Agent, request } from "node:http";
import { connect } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";

/** Playbacks: by which protocol, what the player calls what it plays, and its bit rate. */
const PLAYBACKS = [
  { by: "h1", title: "Harbour", kbps: 2400 },
  { by: "h1", title: "Harbour", kbps: 900 },
  { by: "h2", title: "The long river", kbps: 4200 },
  { by: "h2", title: "Night train", kbps: 6000 },
];
const PAUSE_MS = 25;

export class Load {
  requests = 0;
  bytes = 0;
  by = { h1: 0, h2: 0 };
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

  begin() {
    this.h2 = connect(this.edge.https, { rejectUnauthorized: false });
    const playbacks = PLAYBACKS.map((playback, number) => this.#play(playback, number));
    this.running = Promise.all([...playbacks, this.#stray()]);
  }

  /** Ends when all that was asked is answered. */
  async end() {
    this.ending = true;
    await this.running;
    this.h2?.close();
    this.agent.destroy();
  }

  /** Asks once, and answers what became of it in the cache. */
  async ask(path) {
    return this.#h1(path);
  }

  async #play({ by, title, kbps }, number) {
    for (let segment = 1; !this.ending; segment++) {
      const told = `br=${kbps},cid="${title}",mtp=${3 * kbps},ot=v,sf=h,sid="viewer-${number}",st=v,sta=p,v=2`;
      const path = `/film/${segment % 40}.m4s?CMCD=${encodeURIComponent(told)}`;
      await (by === "h2" ? this.#h2(path) : this.#h1(path));
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
}
