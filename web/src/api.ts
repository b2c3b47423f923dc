// What the pages ask of the stack: the list of assets, and facts about the stack itself.

export interface Asset {
  name: string;
  /** Absolute path or URL of the HLS multivariant playlist. */
  hls: string;
  /** Absolute path or URL of the DASH manifest. */
  dash: string;
  /** Absolute path or URL of the file to keep. */
  download: string;
  /** Absolute path or URL of what the packager says of it. */
  report: string;
}

export interface Stack {
  version?: string;
  /** The command line that starts Chromium so that it plays over HTTP/3. */
  h3_command?: string;
  spki_sha256?: string;
  certificate?: "self-signed" | "given";
}

/** A failure told as a sentence that a viewer can read. */
export class Failure extends Error {
  /** Seconds after which it is worth asking again, where the server named them. */
  retryAfter?: number;
  /** What the server said of it, without a full stop. */
  detail?: string;
}

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
    .filter((asset): asset is Record<string, unknown> & { name: string } => typeof asset?.name === "string")
    .map(({ name, hls, dash, download, report }) => ({
      name,
      hls: resolve(hls, `${encodeURIComponent(name)}/main.m3u8`),
      dash: resolve(dash, `${encodeURIComponent(name)}/manifest.mpd`),
      download: resolve(download, `${encodeURIComponent(name)}/download.mp4`),
      report: resolve(report, `${encodeURIComponent(name)}/report.json`),
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

/** The length of what is at a URL, in bytes; nothing where it is not told. */
export async function contentLength(url: string): Promise<number | undefined> {
  try {
    const response = await fetch(url, { method: "HEAD", signal: AbortSignal.timeout(TIMEOUT_MS) });
    const length = Number(response.headers.get("content-length") ?? Number.NaN);
    return response.ok && Number.isFinite(length) ? length : undefined;
  } catch {
    return undefined;
  }
}

export async function getJson(url: string): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Failure("The server does not answer. It may have been stopped, or the network is down.");
  }
  if (!response.ok) {
    const failure = await refusal(response);
    const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    if (response.status === 503 && Number.isFinite(seconds)) failure.retryAfter = seconds;
    throw failure;
  }
  try {
    return await response.json();
  } catch {
    throw new Failure("The server's answer broke off or could not be understood.");
  }
}

/** The sentence of a problem document (RFC 9457), or one about the status. */
async function refusal(response: Response): Promise<Failure> {
  try {
    const { title, detail } = (await response.json()) as { title?: string; detail?: string };
    if (detail ?? title) {
      const failure = new Failure(`The server refused (${response.status}): ${detail ?? title}.`);
      if (detail) failure.detail = detail;
      return failure;
    }
  } catch {
    // Not a problem document: the status has to do.
  }
  return new Failure(`The server refused with status ${response.status}.`);
}
