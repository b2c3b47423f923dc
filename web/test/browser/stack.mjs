// The stack under test: one process, started with a fresh state folder and ended by its id.
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { access, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const READY_MS = 90_000;
const DRAIN_MS = 30_000;

/** Path of the stack's binary. */
export async function findBinary(env) {
  const named = env.HEADWATER_STACK;
  const path = named ?? (env.CARGO_TARGET_DIR && join(env.CARGO_TARGET_DIR, "debug", "examples", "reference-stack"));
  if (!path) throw new Error("set HEADWATER_STACK to the path of the reference-stack binary");
  await access(path).catch(() => {
    throw new Error(`there is no stack at ${path}: build it with \`cargo build --example reference-stack\``);
  });
  return path;
}

export class Stack {
  /** Starts `binary` and waits until it answers; `more` are further arguments. */
  static async start(binary, { folder, web, inputs, more = [], readyMs = READY_MS }) {
    await mkdir(folder, { recursive: true });
    const ready = join(folder, "ready.json");
    const log = join(folder, "stack.log");
    const output = openSync(log, "w");
    const args = ["--port", "0", "--state", join(folder, "state"), "--web", web, "--ready", ready];
    for (const input of inputs) args.push("--input", input);
    args.push(...more);
    const child = spawn(binary, args, { stdio: ["ignore", output, output] });
    closeSync(output);
    const stack = new Stack(child, log);
    const end = Date.now() + readyMs;
    try {
      for (;;) {
        if (stack.ended) throw new Error(`the stack ended with ${stack.ended} before it was ready`);
        if (Date.now() > end) throw new Error(`the stack was not ready within ${readyMs / 1000} s`);
        const text = await readFile(ready, "utf8").catch(() => undefined);
        if (text !== undefined) {
          stack.facts = JSON.parse(text);
          return stack;
        }
        await sleep(50);
      }
    } catch (error) {
      await stack.stop();
      throw new Error(`${error.message}\n${await stack.logTail()}`);
    }
  }

  constructor(child, log) {
    this.child = child;
    this.log = log;
    this.ended = undefined;
    this.exit = new Promise((resolve) => {
      child.once("error", (error) => resolve((this.ended = String(error))));
      child.once("exit", (code, signal) => resolve((this.ended = signal ?? `code ${code}`)));
    });
  }

  asset(name) {
    const found = this.facts.assets.find((each) => each.name === name);
    if (!found) throw new Error(`the ready file names no asset “${name}”: ${JSON.stringify(this.facts.assets)}`);
    return found;
  }

  get port() {
    return new URL(this.facts.base).port;
  }

  /** Asks for a drain, by SIGTERM; kills what does not end. Answers how the process ended. */
  async stop() {
    if (!this.ended) this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), DRAIN_MS);
    await this.exit;
    clearTimeout(timer);
    return this.ended;
  }

  async logTail(lines = 20) {
    const text = await readFile(this.log, "utf8").catch(() => "");
    return text.trimEnd().split("\n").slice(-lines).join("\n");
  }
}
