// The operator's live page: what /metrics says, twice, and the difference between. The token that the
// operator types stays in a variable of this page: it is in no URL, no storage and no cookie.
"use strict";

const EVERY_MS = 2000;
const POINTS = 150;
const FEWEST = 30;
const byId = (id) => document.getElementById(id);
let token = "";
let before = null;
const graph = [];

/** The samples of a page of metrics: by name, each with its labels and value. */
function read(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of (match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[name] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    }
    if (!samples.has(match[1])) samples.set(match[1], []);
    samples.get(match[1]).push({ labels, value: Number(match[3]) });
  }
  return samples;
}

const all = (page, name) => page.get(name) ?? [];
const has = (labels, want) => Object.entries(want).every(([name, value]) => labels[name] === value);
const sum = (page, name, want = {}) =>
  all(page, name).filter(({ labels }) => has(labels, want)).reduce((total, { value }) => total + value, 0);

const number = (value, digits = 1) =>
  Number.isFinite(value) ? value.toLocaleString("en", { maximumFractionDigits: digits }) : "–";
const percent = (value) => (Number.isFinite(value) ? `${(100 * value).toFixed(1)} %` : "–");
function scaled(value, units, step) {
  let at = 0;
  while (value >= step && at < units.length - 1) [value, at] = [value / step, at + 1];
  return `${number(value)} ${units[at]}`;
}
const bits = (bytes) => scaled(8 * bytes, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"], 1000);
const kilobits = (value) => (value == null ? "–" : bits(125 * value));
const millis = (value) => (value == null ? "–" : `${number(value, 0)} ms`);
const bytes = (value) => scaled(value, ["B", "KiB", "MiB", "GiB", "TiB"], 1024);

/** Puts rows into a table: texts, or a text and the class of its cell. */
function rows(id, list) {
  const body = byId(id).tBodies[0];
  body.replaceChildren(
    ...list.map((cells) => {
      const row = document.createElement("tr");
      for (const cell of cells) {
        const [text, of] = Array.isArray(cell) ? cell : [cell, ""];
        const data = document.createElement("td");
        data.textContent = text;
        data.className = of;
        row.append(data);
      }
      return row;
    }),
  );
}

function showFigures(page, seconds, last) {
  const rate = (name, want) => (sum(page, name, want) - sum(last, name, want)) / seconds;
  const requests = rate("headwater_edge_requests_total");
  const throughput = rate("headwater_edge_response_bytes_total");
  const seen = (from) =>
    ["hits", "misses", "passed"].map((what) => sum(from, `headwater_cache_${what}_total`, { cache: "edge" }));
  const [hits, misses, passed] = seen(page).map((count, at) => count - seen(last)[at]);
  byId("hit-ratio").textContent = percent(hits / (hits + misses + passed));
  byId("requests").textContent = number(requests);
  byId("throughput").textContent = bits(throughput);
  byId("in-flight").textContent = number(sum(page, "headwater_edge_requests_in_flight"), 0);
  byId("errors").textContent = percent(rate("headwater_edge_requests_total", { status: "5xx" }) / requests);
  byId("stored").textContent = bytes(sum(page, "headwater_cache_stored_bytes", { cache: "edge" }));
  draw(throughput);
  rows("protocols", ["h1", "h2", "h3"].map((protocol) => [
    protocol,
    number(rate("headwater_edge_requests_total", { protocol })),
    bits(rate("headwater_edge_response_bytes_total", { protocol })),
    number(sum(page, "headwater_server_connections_open", { protocol }), 0),
  ]));
  const results = new Set(all(page, "headwater_edge_requests_total").map(({ labels }) => labels.cache));
  rows("results", [...results].map((cache) => {
    const now = rate("headwater_edge_requests_total", { cache });
    return [cache, number(now), percent(now / requests), number(sum(page, "headwater_edge_requests_total", { cache }), 0)];
  }));
  const origins = all(page, "headwater_upstream_up");
  // Whose origin is a part of the same process asks nobody.
  byId("asked").hidden = origins.length === 0;
  rows("origins", origins.map(({ labels, value }) => [
    labels.upstream, [labels.origin, "long"], value ? ["up", "up"] : ["down", "down"],
  ]));
}

function draw(value) {
  graph.push(value);
  if (graph.length > POINTS) graph.shift();
  const top = Math.max(...graph, 1);
  const steps = Math.max(graph.length, FEWEST) - 1;
  const first = steps + 1 - graph.length;
  const x = (at) => ((600 * (first + at)) / steps).toFixed(1);
  const point = (bytes, at) => `${x(at)},${(88 - (84 * bytes) / top).toFixed(1)}`;
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", `M${x(0)},90 L${graph.map(point).join(" L")} L600,90 Z`);
  byId("graph").replaceChildren(path);
  const minutes = (steps * EVERY_MS) / 60_000;
  byId("span").textContent = `throughput of the last ${minutes < 2 ? "minute" : `${number(minutes, 0)} minutes`}, at most ${bits(top)}`;
}

async function lookAtSessions() {
  const answer = await ask("/sessions?most=50");
  byId("watching").hidden = answer.status === 404;
  byId("locked").hidden = answer.status !== 401;
  byId("sessions").hidden = !answer.ok;
  if (answer.ok) showSessions(await answer.json());
}

function showSessions(view) {
  byId("known").textContent = view.known === 1 ? "1 session" : `${number(view.known, 0)} sessions`;
  rows("sessions", view.sessions.map((one) => [
    [one.content ?? one.title, "long"], one.state ?? "–", one.tier ?? "–", one.protocol ?? "–",
    kilobits(one.delivered_kbps), kilobits(one.bitrate_kbps), millis(one.startup_ms), number(one.rebuffers, 0),
    number(one.requests, 0),
  ]));
}

const ask = (path, init = {}) =>
  fetch(path, {
    cache: "no-store",
    credentials: "omit",
    ...init,
    headers: token ? { authorization: `Bearer ${token}` } : {},
  });

async function look() {
  const state = byId("state");
  try {
    const answer = await ask("/metrics");
    if (answer.status === 401) throw new Error("under this name it wants the operator's token, below");
    if (!answer.ok) throw new Error(`the operator answers ${answer.status}`);
    const [page, at] = [read(await answer.text()), performance.now()];
    const seconds = before && (at - before.at) / 1000;
    if (before) showFigures(page, seconds, before.page);
    before = { page, at };
    await lookAtSessions();
    state.textContent = seconds ? `live: the last ${seconds.toFixed(1)} s` : "live: counting";
    state.dataset.seconds = seconds || "";
    state.className = "";
  } catch (error) {
    state.textContent = `not live: ${error.message}`;
    state.className = "bad";
  }
  setTimeout(look, EVERY_MS);
}

function say(text, bad) {
  byId("said").textContent = text;
  byId("said").className = bad ? "bad" : "";
}

byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  token = event.target.token.value.trim();
  event.target.reset();
  say(token ? "The token is used from now on." : "No token is used.", false);
});

byId("purge").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { kind, value, soft } = event.target;
  const order = { [kind.value]: value.value.trim(), soft: soft.checked };
  try {
    const answer = await ask("/purge", { method: "POST", body: JSON.stringify(order) });
    const said = await answer.json();
    if (!answer.ok) say(said.detail ?? said.title ?? `refused: ${answer.status}`, true);
    else say(`Purged, number ${said.sequence}, in ${said.caches.join(" and ")}.`, false);
  } catch (error) {
    say(`It was not sent: ${error.message}`, true);
  }
});

look();
