// The menus under the video: player, quality, audio track.
import { byId, element } from "./dom.ts";
import type { AudioChoice, Player, PlayerKind, Quality } from "./players/player.ts";
import { bitrate } from "./text.ts";

const NAMES: Record<PlayerKind, string> = { hls: "HLS", dash: "DASH", native: "Browser" };

/** Links to the same video in each player; `position` is where to go on. */
export function showPlayers(kinds: PlayerKind[], current: PlayerKind, position: () => number): void {
  const links = kinds.map((kind) => {
    const address = new URL(location.href);
    address.searchParams.set("player", kind);
    address.searchParams.delete("t");
    const link = element("a", { href: address.href, textContent: NAMES[kind] });
    if (kind === current) link.setAttribute("aria-current", "page");
    link.addEventListener("click", () => {
      const seconds = Math.floor(position());
      if (seconds > 0) address.searchParams.set("t", String(seconds));
      link.href = address.href;
    });
    return link;
  });
  byId("players").replaceChildren(...links);
}

/** Makes both menus act on whatever `player` answers at that time. */
export function wireMenus(player: () => Player | undefined): void {
  byId<HTMLSelectElement>("quality").addEventListener("change", (event) => {
    player()?.choose((event.target as HTMLSelectElement).value);
  });
  byId<HTMLSelectElement>("audio").addEventListener("change", (event) => {
    player()?.chooseAudio((event.target as HTMLSelectElement).value);
  });
}

/** Shows what there is to choose; a menu of one entry is hidden. */
export function showMenus(player: Player): void {
  const qualities = player.qualities();
  const playing = player.playing();
  const auto = playing && player.chosen() === "auto" ? `Auto (${short(playing)})` : "Auto";
  fill("quality", [["auto", auto], ...qualities.map((each): [string, string] => [each.id, long(each)])], player.chosen());
  byId("quality-field").hidden = qualities.length === 0;

  const audios = player.audios();
  fill("audio", audios.map((each: AudioChoice): [string, string] => [each.id, each.label]), player.audio());
  byId("audio-field").hidden = audios.length < 2;
}

function fill(id: string, entries: [string, string][], chosen: string | undefined): void {
  const select = byId<HTMLSelectElement>(id);
  const same =
    select.options.length === entries.length &&
    entries.every(([value, text], at) => select.options[at]!.value === value && select.options[at]!.text === text);
  if (!same) select.replaceChildren(...entries.map(([value, text]) => element("option", { value, text })));
  if (chosen !== undefined && select.value !== chosen) select.value = chosen;
}

function short({ height }: Quality): string {
  return height > 0 ? `${height}p` : "sound only";
}

function long(quality: Quality): string {
  return quality.bitrate > 0 ? `${short(quality)} · ${bitrate(quality.bitrate)}` : short(quality);
}
