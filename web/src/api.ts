// What the pages ask of the stack: the list of assets, and facts about the stack itself.

export interface Asset {
  name: string;
  /** Absolute path or URL of the HLS multivariant playlist. */
  hls: string;
  /** Absolute path or URL of the DASH manifest. */
  dash: string;
}

export interface Stack {
  version?: string;
  /** The command line that starts Chromium so that it plays over HTTP/3. */
  h3_command?: string;
  spki_sha256?: string;
  certificate?: "self-signed" | "given";
}

/** A failure told as a sentence that a viewer can read. */
export class Failure extends Error {}

const TIMEOUT_MS = 10_000;
const MEDIA = "/media/";

/** The assets, in the order of their names. */
export async function listAssets(): Promise<Asset[]> {
  const found = (await getJson(MEDIA)) as { assets?: unknown } | null;
  if (!found || !Array.isArray(found.assets)) {
    throw new Failure("The server's list of videos could not be understood.");
  }
  const base = new URL(MEDIA, location.href);
  const resolve = (url: unknown, otherwise: string) =>
    new URL(typeof url === "string" ? url : otherwise, base).href;
  return found.assets
    .filter((asset): asset is { name: string; hls?: unknown; dash?: unknown } => typeof asset?.name === "string")
    .map(({ name, hls, dash }) => ({
      name,
      hls: resolve(hls, `${encodeURIComponent(name)}/main.m3u8`),
      dash: resolve(dash, `${encodeURIComponent(name)}/manifest.mpd`),
    }))
    .sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}

/** Facts about the stack; none when it does not tell them. */
export async function aboutStack(): Promise<Stack> {
  try {
    return ((await getJson("/stack.json")) as Stack | null) ?? {};
  } catch {
    return {};
  }
}

export function watchUrl(name: string, player?: string): string {
  const query = new URLSearchParams({ asset: name });
  if (player) query.set("player", player);
  return `/watch?${query}`;
}

async function getJson(url: string): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Failure("The server does not answer. It may have been stopped, or the network is down.");
  }
  if (!response.ok) throw new Failure(await problem(response));
  try {
    return await response.json();
  } catch {
    throw new Failure("The server's answer broke off or could not be understood.");
  }
}

/** The sentence of a problem document (RFC 9457), or one about the status. */
async function problem(response: Response): Promise<string> {
  try {
    const { title, detail } = (await response.json()) as { title?: string; detail?: string };
    if (detail ?? title) return `The server refused (${response.status}): ${detail ?? title}.`;
  } catch {
    // Not a problem document: the status has to do.
  }
  return `The server refused with status ${response.status}.`;
}
