// The front page: every asset that the stack serves, as a card to press.
import { aboutStack, type Asset, Failure, listAssets, watchUrl } from "./api.ts";
import { explainDelivery } from "./delivery.ts";
import { byId, element, hideNotice, showNotice } from "./dom.ts";
import { plural } from "./text.ts";

async function show(): Promise<void> {
  const list = byId("assets");
  list.setAttribute("aria-busy", "true");
  try {
    const assets = await listAssets();
    hideNotice();
    byId("count").textContent = assets.length > 0 ? plural(assets.length, "video") : "";
    list.replaceChildren(...assets.map(card));
    if (assets.length === 0) {
      showNotice("There is no video here yet. Start the stack with --input PATH to add one.", () => void show());
    }
  } catch (error) {
    list.replaceChildren();
    byId("count").textContent = "";
    showNotice(error instanceof Failure ? error.message : "The list of videos could not be shown.", () => void show());
  } finally {
    list.setAttribute("aria-busy", "false");
  }
}

function card(asset: Asset): HTMLElement {
  const poster = element("a", { className: "poster", href: watchUrl(asset.name), tabIndex: -1 });
  poster.setAttribute("aria-hidden", "true");
  // No picture is fetched for a card: its colours come from its name.
  poster.style.setProperty("--hue", String(hue(asset.name)));
  const made = element(
    "li",
    { className: "card" },
    poster,
    element("h3", {}, element("a", { href: watchUrl(asset.name), textContent: asset.name })),
    element(
      "p",
      { className: "ways" },
      way("HLS", watchUrl(asset.name, "hls"), `Watch ${asset.name} by HLS`),
      way("DASH", watchUrl(asset.name, "dash"), `Watch ${asset.name} by DASH`),
      manifest(".m3u8", asset.hls, `HLS playlist of ${asset.name}`),
      manifest(".mpd", asset.dash, `DASH manifest of ${asset.name}`),
    ),
  );
  made.dataset.asset = asset.name;
  return made;
}

function way(text: string, href: string, label: string): HTMLElement {
  const link = element("a", { className: "way", href, textContent: text });
  link.setAttribute("aria-label", label);
  return link;
}

function manifest(text: string, href: string, label: string): HTMLElement {
  const link = element("a", { className: "manifest", href, textContent: text });
  link.setAttribute("aria-label", label);
  return link;
}

function hue(name: string): number {
  let sum = 0;
  for (const c of name) sum = (sum * 31 + c.codePointAt(0)!) % 9973;
  // From green through blue to violet, where the rest of the page is at home.
  return 150 + (sum % 140);
}

void show();
void aboutStack().then(explainDelivery);
