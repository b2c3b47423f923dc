// One asset on the front page: what it is, how to watch it, the file to keep, and what was left out of it.
import { type Asset, contentLength, Failure, watchUrl } from "./api.ts";
import { element } from "./dom.ts";
import { fetchReport, type Note, noteSubject, type Report, trackFacts, trackName } from "./report.ts";
import { clock, plural, size } from "./text.ts";

/** A card; what only the asset itself can tell is filled in when the card comes near the window. */
export function card(asset: Asset): HTMLElement {
  const poster = element("a", { className: "poster", href: watchUrl(asset.name), tabIndex: -1 });
  poster.setAttribute("aria-hidden", "true");
  // No picture is fetched for a card: its colours come from its name.
  poster.style.setProperty("--hue", String(hue(asset.name)));
  const facts = element("div", { className: "about" });
  const ways = element("p", { className: "ways" }, ...links(asset, true));
  const made = element(
    "li",
    { className: "card" },
    poster,
    element("h3", {}, element("a", { href: watchUrl(asset.name), textContent: asset.name })),
    facts,
    ways,
  );
  made.dataset.asset = asset.name;
  nearby(made, () => describe(asset, made, poster, facts, ways));
  return made;
}

/** Cards whose report is being asked for at the same time. */
const AT_ONCE = 4;
const waiting: (() => Promise<void>)[] = [];
let running = 0;

/** Does `work` once, when the element is near the window and few others are at work. */
function nearby(target: Element, work: () => Promise<void>): void {
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      waiting.push(work);
      next();
    },
    { rootMargin: "300px" },
  );
  observer.observe(target);
}

function next(): void {
  while (running < AT_ONCE) {
    const work = waiting.shift();
    if (!work) return;
    running++;
    void work().finally(() => {
      running--;
      next();
    });
  }
}

async function describe(asset: Asset, made: HTMLElement, poster: HTMLElement, facts: HTMLElement, ways: HTMLElement): Promise<void> {
  try {
    const report = await fetchReport(asset.report);
    poster.append(...badges(report));
    facts.replaceChildren(...tracks(report));
    ways.replaceChildren(...links(asset, report.manifests?.includes("manifest.mpd") ?? true));
    const notes = remarks(report);
    if (notes) made.append(notes);
    if (report.download) {
      const download = element("a", { className: "keep", href: asset.download, textContent: "Download" });
      download.setAttribute("aria-label", `Download ${asset.name} as one file`);
      ways.before(element("p", { className: "file" }, download));
      const bytes = await contentLength(asset.download);
      if (bytes !== undefined) download.append(element("span", { textContent: size(bytes) }));
    }
    made.dataset.state = "described";
  } catch (error) {
    const said = error instanceof Failure ? (error.detail ? `It cannot be played: ${error.detail}.` : error.message) : "What is in it could not be shown.";
    facts.replaceChildren(element("p", { className: "trouble", textContent: said }));
    if (error instanceof Failure && error.detail) ways.replaceChildren();
    made.dataset.state = "failed";
  }
}

function badges(report: Report): HTMLElement[] {
  const made = [element("span", { className: "length", textContent: clock(report.duration_ms) })];
  if (report.recording === "growing") made.push(element("span", { className: "mark live", textContent: "Recording" }));
  if (report.encryption) made.push(element("span", { className: "mark", textContent: "Encrypted" }));
  return made;
}

function tracks(report: Report): HTMLElement[] {
  const list = (kind: "video" | "audio", label: string) => {
    const entries = report.tracks.filter((track) => track.kind === kind);
    const items = entries.map((track) =>
      element("li", {}, element("b", { textContent: trackName(track) }), element("span", { textContent: trackFacts(track) })),
    );
    const made = element("ul", { className: "tracks" }, ...items);
    made.setAttribute("aria-label", label);
    return items.length > 0 ? [made] : [];
  };
  return [...list("video", "Renditions"), ...list("audio", "Sounds")];
}

const KINDS: Record<Note["kind"], string> = { skipped: "left out", warning: "changed", info: "to know" };

/** What was left out or done otherwise, and what to do about it; nothing where there is nothing to say. */
function remarks(report: Report): HTMLElement | undefined {
  if (report.notes.length === 0) return undefined;
  const several = new Set(report.notes.map(({ source }) => source ?? 0)).size > 1;
  const worst = (["skipped", "warning", "info"] as const).find((kind) => report.notes.some((note) => note.kind === kind))!;
  const count = (kind: Note["kind"]) => report.notes.filter((note) => note.kind === kind).length;
  const said = [
    count("skipped") > 0 && `${count("skipped")} left out`,
    count("warning") > 0 && `${count("warning")} changed`,
    count("info") > 0 && plural(count("info"), "note"),
  ].filter((part): part is string => typeof part === "string");
  const items = report.notes.map((note) => {
    const subject = noteSubject(note, several);
    const item = element("li", {}, element("b", { textContent: KINDS[note.kind] }));
    if (subject) item.append(element("i", { textContent: subject }));
    item.append(`${note.message}.`);
    item.dataset.kind = note.kind;
    return item;
  });
  const made = element("details", { className: "remarks" }, element("summary", { textContent: said.join(", ") }), element("ul", {}, ...items));
  made.dataset.kind = worst;
  return made;
}

function links(asset: Asset, dash: boolean): HTMLElement[] {
  const { name } = asset;
  const made = [link("way", "HLS", watchUrl(name, "hls"), `Watch ${name} by HLS`)];
  if (dash) made.push(link("way", "DASH", watchUrl(name, "dash"), `Watch ${name} by DASH`));
  made.push(link("manifest", ".m3u8", asset.hls, `HLS playlist of ${name}`));
  if (dash) made.push(link("manifest", ".mpd", asset.dash, `DASH manifest of ${name}`));
  made.push(link("manifest", "report", asset.report, `Report on ${name}`));
  return made;
}

function link(className: string, textContent: string, href: string, label: string): HTMLElement {
  const made = element("a", { className, href, textContent });
  made.setAttribute("aria-label", label);
  return made;
}

function hue(name: string): number {
  let sum = 0;
  for (const c of name) sum = (sum * 31 + c.codePointAt(0)!) % 9973;
  // From green through blue to violet, where the rest of the page is at home.
  return 150 + (sum % 140);
}
