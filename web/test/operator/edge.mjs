// A `headwater edge` under test: started with a configuration, ended by its id.
import { spawn } from "node:child_process";
import { access, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const PATIENCE_MS = 60_000;

/** Path of the command `headwater`. */
export async function findCommand(env) {
  const path = env.HEADWATER_COMMAND ?? (env.CARGO_TARGET_DIR && join(env.CARGO_TARGET_DIR, "debug", "headwater"));
  if (!path) throw new Error("set HEADWATER_COMMAND to the path of the command headwater");
  await access(path).catch(() => {
    throw new Error(`there is no command at ${path}: build it with \`cargo build --workspace --bins\``);
  });
  return path;
}

export class Edge {
  /** Starts it in `folder`, and waits until it serves. */
  static async start(command, folder, config) {
    await writeFile(join(folder, "edge.toml"), config);
    const child = spawn(command, ["edge", "--config", "edge.toml"], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
    const edge = new Edge(child);
    const end = Date.now() + PATIENCE_MS;
    while (!edge.operator) {
      if (edge.ended || Date.now() > end) {
        await edge.stop();
        throw new Error(`the edge does not serve (${edge.ended}):\n${edge.said}`);
      }
      await sleep(20);
    }
    return edge;
  }

  said = "";
  ended = undefined;

  constructor(child) {
    this.child = child;
    child.stderr.setEncoding("utf8").on("data", (text) => (this.said += text));
    this.exit = new Promise((resolve) => {
      child.once("error", (error) => resolve((this.ended = String(error))));
      child.once("exit", (code, signal) => resolve((this.ended = signal ?? `code ${code}`)));
    });
  }

  /** Where it listens, of the kind that it calls so. */
  #listener(kind) {
    return new RegExp(`^  ${kind} +(\\S+)\\n`, "m").exec(this.said)?.[1];
  }

  get http() {
    return this.#listener("http");
  }

  get https() {
    return this.#listener("https");
  }

  get operator() {
    return this.#listener("operator");
  }

  /** Asks for a drain, by SIGTERM; kills what does not end. Answers how the process ended. */
  async stop() {
    if (!this.ended) this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), PATIENCE_MS);
    await this.exit;
    clearTimeout(timer);
    return this.ended;
  }
}
