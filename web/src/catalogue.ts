// The front page: every asset that the stack serves, as a card to press.
import { aboutStack, Failure, listAssets } from "./api.ts";
import { card } from "./card.ts";
import { explainDelivery } from "./delivery.ts";
import { byId, hideNotice, showNotice } from "./dom.ts";
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

void show();
void aboutStack().then(explainDelivery);
