// The operator's live page in a real Chromium, on a `headwater edge` under load: what it shows equals what /metrics
// and /sessions say and what the clients counted, a purge is done, and it looks like something.
//
//   HEADWATER_COMMAND      path of the command `headwater` (else $CARGO_TARGET_DIR/debug/headwater)
//   HEADWATER_SCREENSHOTS  where screenshots go, to be looked at (else a temporary folder, which goes)
//   CHROMIUM               the browser (else /usr/bin/chromium)
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { parseMetrics } from "./browser/metrics.mjs";
import { Results } from "./browser/tap.mjs";
import { findCommand, Edge } from "./operator/edge.mjs";
import { Load } from "./operator/load.mjs";
import { Origin } from "./operator/origin.mjs";

const LIMIT_MS = 5 * 60_000;
const TOKEN = "the operator's own";
const results = new Results();

async function main() {
  const command = await findCommand(process.env);
  const folder = await mkdtemp(join(tmpdir(), "headwater-operator-"));
  const shots = process.env.HEADWATER_SCREENSHOTS ?? join(folder, "screenshots");
  await mkdir(shots, { recursive: true });
  const watchdog = setTimeout(() => {
    console.log(`not ok - the run ends within ${LIMIT_MS / 60_000} minutes`);
    process.exit(1);
  }, LIMIT_MS);
  const origin = await Origin.start();
  await writeFile(join(folder, "token"), `${TOKEN}\n`);
  const edge = await Edge.start(command, folder, config(origin.url, await origin.nobody()));
  const load = new Load(edge);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
  });
  try {
    const page = await browser.newPage({ viewport: { width: 1360, height: 860 } });
    const view = new View(page);
    await view.open(edge.operator);
    await load.begin();
    await results.group("without the token", () => locked(page, load));
    await results.group("figures under load", () => figures(page, view, shots));
    await load.end();
    await results.group("figures after it", () => totals(edge, view, load));
    await results.group("a purge", () => purge(page, load));
    await results.group("looks", () => looks(page, shots));
    await results.group("without origins", () => alone(page));
    results.check(view.complaints.length === 0, "no error in the console", view.complaints.join("\n"));
  } finally {
    await load.end();
    await browser.close();
    const ended = await edge.stop();
    results.check(ended === "code 0", "SIGTERM drains the edge and it exits with 0", `${ended}\n${edge.said}`);
    origin.stop();
    clearTimeout(watchdog);
    await rm(folder, { recursive: true, force: true });
  }
}

const config = (origin, nobody) => `
[server]
listen_http = "127.0.0.1:0"
listen = "127.0.0.1:0"
[server.tls]
self_signed = "localhost"
[[upstream]]
name = "films"
origins = ["${nobody}", "${origin}"]
failures = 1
cool_off = "5 min"
longest_cool_off = "5 min"
[[site]]
hosts = "*"
upstream = "films"
[sessions]
on = true
[operator]
listen = "127.0.0.1:0"
token_file = "token"
`;

/** The page, and what it was told: it is held while it is looked at. */
class View {
  complaints = [];
  /** Pages of metrics, the newest last. */
  metrics = [];
  sessions = undefined;
  #held = undefined;

  constructor(page) {
    this.page = page;
    // That the token is wanted, the browser tells as an error.
    page.on("console", (message) => message.type() === "error" && !message.text().includes("401") && this.complaints.push(message.text()));
    page.on("pageerror", (error) => this.complaints.push(String(error)));
  }

  async open(operator) {
    await this.page.route("**/metrics", async (route) => {
      if (this.#held) await this.#held.until;
      const answer = await route.fetch();
      this.metrics.push(parseMetrics(await answer.text()));
      await route.fulfill({ response: answer });
    });
    await this.page.route("**/sessions?*", async (route) => {
      const answer = await route.fetch();
      if (answer.ok()) this.sessions = await answer.json();
      await route.fulfill({ response: answer });
    });
    await this.page.goto(operator, { waitUntil: "load" });
  }

  /** Runs `look` while the page shows what it was told last. */
  async held(look) {
    let release;
    this.#held = { until: new Promise((resolve) => (release = resolve)) };
    try {
      // The reading that was on its way is shown before the next one is asked for, which is held.
      const readings = this.metrics.length;
      await this.page.waitForRequest("**/metrics");
      if (this.metrics.length < Math.max(readings, 2)) throw new Error("the page has not been told twice");
      return await look();
    } finally {
      this.#held = undefined;
      release();
    }
  }

  /** Sums of the last two readings. */
  sums(name, where) {
    return this.metrics.slice(-2).map((page) => page.sum(name, where) ?? 0);
  }
}

async function locked(page, load) {
  await page.waitForSelector("#locked:not([hidden])");
  results.check(!(await page.isVisible("#sessions")), "without the token nobody is told who watches");
  await page.fill("#purge input[name=value]", load.url("/film/1.m4s"));
  await page.click("#purge button");
  await page.waitForSelector("#said.bad");
  const said = await page.textContent("#said");
  results.check(said.includes("wants the operator's token"), "without the token nobody purges", said);
  await page.fill("#key input[name=token]", TOKEN);
  await page.click("#key button");
  await page.waitForSelector("#sessions tbody tr");
  results.check(!(await page.isVisible("#locked")), "with the token sessions are shown");
}

async function figures(page, view, shots) {
  const before = view.metrics.length;
  // Some readings, so that there is a curve.
  await page.waitForFunction(() => document.querySelector("#graph path")?.getAttribute("d").split("L").length > 6);
  await view.held(async () => {
    results.check(view.metrics.length > before, "the page goes on reading");
    const text = (id) => page.textContent(`#${id}`);
    const seconds = Number(await page.getAttribute("#state", "data-seconds"));
    results.check(seconds > 0 && (await text("state")) === `live: the last ${seconds.toFixed(1)} s`, "the page says of which time it tells", await text("state"));
    const grown = (name, where) => {
      const [was, is] = view.sums(name, where);
      return is - was;
    };
    const alike = (what, said, expected) => {
      const off = Math.abs(quantity(said) - expected) / Math.max(expected, 1e-9);
      results.check(expected > 0 && off < 0.02, `${what} is that of the metrics: ${said}`, `it is ${expected}`);
    };
    const near = async (id, expected) => alike(id, await text(id), expected);
    const all = grown("headwater_edge_requests_total");
    await near("requests", all / seconds);
    await near("throughput", (8 * grown("headwater_edge_response_bytes_total")) / seconds);
    const edge = (labels) => labels.cache === "edge";
    const [hits, misses, passed] = ["hits", "misses", "passed"].map((what) => grown(`headwater_cache_${what}_total`, edge));
    const same = async (what, shown, expected) => results.check(shown === expected, `${what}: ${shown}`, `it is ${expected}`);
    await same("the hit ratio", await text("hit-ratio"), percent(hits / (hits + misses + passed)));
    const failed = grown("headwater_edge_requests_total", ({ status }) => status === "5xx");
    await same("errors", await text("errors"), percent(failed / all));
    results.check(failed > 0 && hits > 0 && misses > 0, "there are errors, hits and misses to be told of");
    await same("in flight", await text("in-flight"), String(view.sums("headwater_edge_requests_in_flight")[1]));
    const stored = view.sums("headwater_cache_stored_bytes", edge)[1];
    await near("stored", stored);

    const protocols = await table(page, "protocols");
    await same("protocols", protocols.map(([protocol]) => protocol).join(), "h1,h2,h3");
    for (const [protocol, requests, throughput, connections] of protocols) {
      const by = (labels) => labels.protocol === protocol;
      alike(`requests over ${protocol}`, requests, grown("headwater_edge_requests_total", by) / seconds);
      alike(`throughput over ${protocol}`, throughput, (8 * grown("headwater_edge_response_bytes_total", by)) / seconds);
      await same(`connections of ${protocol}`, connections, String(view.sums("headwater_server_connections_open", (labels) => labels.protocol === protocol)[1]));
    }
    await sameResults(page, view);
    const origins = view.metrics.at(-1).samples.filter(({ name }) => name === "headwater_upstream_up");
    await same(
      "origins",
      JSON.stringify(await table(page, "origins")),
      JSON.stringify(origins.map(({ labels, value }) => [labels.upstream, labels.origin, value ? "up" : "down"])),
    );
    results.check(origins.map(({ value }) => value).join() === "0,1", "one origin is down and one is up");
    results.check(await page.isVisible("#origins"), "and they are to be seen");

    const { known, sessions } = view.sessions;
    await same("sessions", await text("known"), known === 1 ? "1 session" : `${known} sessions`);
    const shown = await table(page, "sessions");
    const start = ({ startup_ms: millis }) => (millis === null ? "–" : `${millis.toLocaleString("en")} ms`);
    const told = sessions.map((one) => [one.content ?? one.title, one.tier ?? "–", one.protocol ?? "–", start(one), String(one.rebuffers), String(one.requests)]);
    results.check(shown.length === sessions.length && shown.length === 5, `each session has a row: ${shown.length}`, known);
    const cells = shown.map(([title, state, tier, protocol, delivered, bitrate, began, stalls, requests]) => {
      results.check(state === "playing" && delivered.endsWith("bit/s") && bitrate.endsWith("bit/s"), `${title}: ${state} of ${bitrate} at ${delivered}`);
      return [title, tier, protocol, began, stalls, requests];
    });
    await same("their rows", JSON.stringify(cells), JSON.stringify(told));
    await page.screenshot({ path: join(shots, "live.png"), fullPage: true });
  });
}

async function totals(edge, view, load) {
  // What was on its way when the load ended is counted in the reading after.
  const readings = view.metrics.length;
  while (view.metrics.length < readings + 2) await view.page.waitForResponse("**/metrics");
  await view.held(async () => {
    await sameResults(view.page, view);
    const [, requests] = view.sums("headwater_edge_requests_total");
    results.check(requests === load.requests, `the clients counted as many requests: ${load.requests}`, requests);
    const [, bytes] = view.sums("headwater_edge_response_bytes_total");
    results.check(bytes === load.bytes, `and as many bytes: ${load.bytes}`, bytes);
    for (const [protocol, count] of Object.entries(load.by)) {
      const [, told] = view.sums("headwater_edge_requests_total", (labels) => labels.protocol === protocol);
      results.check(told === count, `of these over ${protocol}: ${count}`, told);
    }
    const own = view.sessions.sessions.reduce((sum, { requests }) => sum + requests, 0);
    results.check(own === load.played, `sessions were answered as often as they asked: ${load.played}`, own);
  });
}

async function purge(page, load) {
  results.check((await load.ask("/film/1.m4s")).includes("hit"), "it is in the cache");
  await page.fill("#purge input[name=value]", load.url("/film/1.m4s"));
  await page.click("#purge button");
  await page.waitForFunction(() => document.getElementById("said").textContent.startsWith("Purged"));
  results.check(!(await page.$("#said.bad")), `the page says so: ${await page.textContent("#said")}`);
  results.check(!(await load.ask("/film/1.m4s")).includes("hit"), "it is purged");
}

async function looks(page, shots) {
  const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
  results.check(await fits(), "the page fits the window");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: join(shots, "live-dark.png"), fullPage: true });
  await page.setViewportSize({ width: 390, height: 844 });
  results.check(await fits(), "the page fits a telephone");
  await page.screenshot({ path: join(shots, "live-narrow.png"), fullPage: true });
}

/** As a stack tells whose packager is a part of it. */
async function alone(page) {
  await page.route("**/metrics", async (route) => {
    const answer = await route.fetch();
    const lines = (await answer.text()).split("\n").filter((line) => !line.startsWith("headwater_upstream_up{"));
    await route.fulfill({ response: answer, body: lines.join("\n") });
  });
  await page.waitForSelector("#asked", { state: "hidden" });
  results.check(!(await page.isVisible("text=Origins")), "where nobody is asked there is no table of origins");
  results.check(await page.isVisible("#protocols"), "and the others are there");
}

/** Requests by result, since the edge started. */
async function sameResults(page, view) {
  for (const [cache, , , all] of await table(page, "results")) {
    const told = view.sums("headwater_edge_requests_total", (labels) => labels.cache === cache)[1];
    results.check(quantity(all) === told, `requests that are ${cache}, in all: ${all}`, told);
  }
}

/** The cells of a table's rows. */
function table(page, id) {
  return page.$$eval(`#${id} tbody tr`, (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
}

const SCALES = { k: 1e3, M: 1e6, G: 1e9, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 };

/** A number as it is shown, such as `1,234.5 Mbit/s`. */
function quantity(text) {
  const [, number, scale] = /^([\d.,]+)\s*([kMG]i?)?/.exec(text) ?? [];
  return Number(number?.replaceAll(",", "")) * (SCALES[scale] ?? 1);
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;

try {
  await main();
} catch (error) {
  results.check(false, "the test runs to its end", error?.stack ?? error);
}
process.exit(results.end());
