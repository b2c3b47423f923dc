// The viewer: one video, played by hls.js, shaka-player or the browser itself.
// `window.headwater` holds the page's state for tests and for curious people.
import { aboutStack, type Asset, Failure, listAssets } from "./api.ts";
import { explainDelivery } from "./delivery.ts";
import { byId, hideNotice, setText, showNotice } from "./dom.ts";
import { showMenus, showPlayers, wireMenus } from "./menus.ts";
import { startPanel } from "./panel.ts";
import * as native from "./players/native.ts";
import type { Ears, Player, PlayerKind } from "./players/player.ts";
import { fetchReport } from "./report.ts";
import { type Segment, SegmentLog } from "./segments.ts";

interface State {
  player: Player | undefined;
  video: HTMLVideoElement;
  /** Failures that ended playback. */
  errors: string[];
  /** Troubles that the player engine got over. */
  warnings: string[];
  segments: readonly Segment[];
}

declare global {
  interface Window {
    headwater?: State;
  }
}

const query = new URLSearchParams(location.search);
const name = query.get("asset") ?? "";
const video = byId<HTMLVideoElement>("video");
const log = new SegmentLog();
const state: State = { player: undefined, video, errors: [], warnings: [], segments: log.segments };
window.headwater = state;

const kinds: PlayerKind[] = ["hls", "dash"];
if (native.supported(video)) kinds.push("native");
const kind = kinds.find((each) => each === query.get("player")) ?? (hasMediaSource() ? "hls" : (kinds.at(-1) ?? "hls"));

async function play(startAt: number): Promise<void> {
  hideNotice();
  video.controls = true;
  await state.player?.destroy();
  state.player = undefined;
  try {
    const asset = await find();
    const player = await open(asset, startAt);
    state.player = player;
    showMenus(player);
    // Browsers may ask for a press of the button first: then the video waits for it.
    video.play().catch(() => {});
  } catch (error) {
    const known = error instanceof Failure;
    fail(known ? error.message : "This browser cannot play the video.", String(error), startAt);
  }
}

async function find(): Promise<Asset> {
  if (name === "") throw new Failure("The address of this page names no video.");
  const asset = (await listAssets()).find((each) => each.name === name);
  if (!asset) throw new Failure(`There is no video named “${name}” here.`);
  return asset;
}

/** Opens the asset; the code of a player is loaded only when it is the one to play. */
async function open(asset: Asset, startAt: number): Promise<Player> {
  const ears: Ears = {
    failed: (sentence, detail) => fail(sentence, detail, video.currentTime || startAt),
    warned: (detail) => state.warnings.push(detail),
    changed: () => state.player && showMenus(state.player),
    heard: (response) => log.heard(response),
  };
  switch (kind) {
    case "hls":
      return (await import("./players/hls.ts")).open(video, asset.hls, startAt, ears);
    case "dash":
      return (await import("./players/dash.ts")).open(video, asset.dash, startAt, ears);
    case "native":
      return native.open(video, asset.hls, startAt, ears);
  }
}

function fail(sentence: string, detail: string, position: number): void {
  // Controls over nothing would only promise something.
  video.controls = video.readyState > 0;
  state.errors.push(`${sentence} [${detail}]`);
  showNotice(sentence, () => void play(position));
}

function hasMediaSource(): boolean {
  return "MediaSource" in window || "ManagedMediaSource" in window;
}

/** What is not there in DASH is not offered in it. */
async function offer(): Promise<void> {
  const report = await find().then((asset) => fetchReport(asset.report));
  if (report.manifests && !report.manifests.includes("manifest.mpd") && kind !== "dash") {
    showPlayers(kinds.filter((each) => each !== "dash"), kind, () => video.currentTime);
  }
}

setText(byId("title"), name || "No video");
if (name) document.title = `${name} · Headwater`;
showPlayers(kinds, kind, () => video.currentTime);
wireMenus(() => state.player);
startPanel(video, log.segments, () => state.player);
void play(Math.max(0, Number(query.get("t")) || 0));
void offer().catch(() => {});
void aboutStack().then(explainDelivery);
