// Which protocol brought the page, and how to come by HTTP/3 when it was another.
import type { Stack } from "./api.ts";
import { byId, element } from "./dom.ts";
import { protocolName } from "./text.ts";

/** The ALPN id by which this page came. */
export function pageProtocol(): string {
  const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return navigation?.nextHopProtocol ?? "";
}

/** Names the protocol in the page's head and explains, when it was not HTTP/3, what to do. */
export function explainDelivery(stack: Stack): void {
  const protocol = pageProtocol();
  const badge = byId("page-protocol");
  badge.textContent = `This page came by ${protocolName(protocol)}`;
  badge.dataset.protocol = protocol;
  badge.hidden = false;
  if (stack.version) byId("version").textContent = `Headwater ${stack.version}`;

  const box = byId("delivery");
  const story = protocol === "h3" ? [] : tell(protocol, stack);
  box.hidden = story.length === 0;
  box.replaceChildren(...story);
}

function tell(protocol: string, stack: Stack): HTMLElement[] {
  const title = (text: string) => element("h2", { id: "delivery-title", textContent: text });
  if (stack.certificate === "given") {
    return [
      title("Not HTTP/3 yet"),
      element("p", {
        textContent:
          `This page came by ${protocolName(protocol)}, and told your browser that the server speaks HTTP/3 on the ` +
          "same port number. Browsers change over for later requests: load the page again to see it happen. " +
          "A network that blocks UDP keeps it from happening.",
      }),
    ];
  }
  if (!stack.h3_command) return [];
  return [
    title("How to watch over HTTP/3"),
    element("p", {
      textContent:
        `This page came by ${protocolName(protocol)}. The server speaks HTTP/3 on the same port number, but its ` +
        "certificate is one it made for itself. Your browser warned you of that; it is expected here. " +
        "Chromium does not use QUIC, on which HTTP/3 runs, with a certificate that was accepted by clicking " +
        "through that warning.",
    }),
    element("p", {
      textContent:
        "Started with the command below, Chromium trusts this one key and speaks HTTP/3 to this one server. " +
        (stack.h3_command.includes("--user-data-dir")
          ? "It runs beside your other windows, with a profile of its own."
          : "Close Chromium first: one that runs already takes no notice of the command's options."),
    }),
    command(stack.h3_command),
  ];
}

function command(line: string): HTMLElement {
  // A span for each word, so that lines break between options and not inside them.
  const words = line.split(" ").flatMap((word) => [element("span", { textContent: word }), " "]);
  const code = element("code", {}, ...words.slice(0, -1));
  const copy = element("button", { type: "button", className: "copy", textContent: "Copy" });
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(line);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), 2000);
    } catch {
      // No clipboard in this context: select the text so that the keyboard can copy it.
      getSelection()?.selectAllChildren(code);
    }
  });
  return element("div", { className: "command" }, element("pre", { tabIndex: 0 }, code), copy);
}
