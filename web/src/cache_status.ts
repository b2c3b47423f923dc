// Reads the Cache-Status header (RFC 9211): which caches a response met, and what each did.

/** What one cache said of one response. */
export interface CacheMember {
  cache: string;
  params: Map<string, string | true>;
}

/** How the cache nearest to the viewer came by a response. */
export type CacheState = "hit" | "stale" | "collapsed" | "revalidated" | "miss" | "unknown";

/** The members in header order: the first is nearest to the origin, the last to the viewer (§2). */
export function parseCacheStatus(header: string): CacheMember[] {
  return split(header, ",").flatMap((member) => {
    const [name, ...params] = split(member, ";");
    if (!name) return [];
    const pairs = params.map((param): [string, string | true] => {
      const at = param.indexOf("=");
      return at < 0 ? [param, true] : [param.slice(0, at).trim(), unquote(param.slice(at + 1).trim())];
    });
    return [{ cache: unquote(name), params: new Map(pairs) }];
  });
}

/** The state that the cache nearest to the viewer reports. */
export function cacheState(header: string | undefined): CacheState {
  const nearest = header ? parseCacheStatus(header).at(-1) : undefined;
  if (!nearest) return "unknown";
  const { params } = nearest;
  if (params.has("hit")) return Number(params.get("ttl")) < 0 ? "stale" : "hit";
  if (params.has("collapsed") && params.get("collapsed") !== "?0") return "collapsed";
  if (params.get("fwd") === "stale" && params.get("fwd-status") === "304") return "revalidated";
  return params.has("fwd") ? "miss" : "unknown";
}

/** Splits at `separator`, except inside a quoted string (RFC 8941 §3.3.3). */
function split(text: string, separator: string): string[] {
  const parts: string[] = [];
  let part = "";
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (quoted && c === "\\") {
      part += c + (text[++i] ?? "");
      continue;
    }
    if (c === '"') quoted = !quoted;
    if (c === separator && !quoted) {
      parts.push(part.trim());
      part = "";
    } else {
      part += c;
    }
  }
  parts.push(part.trim());
  return parts.filter((each) => each !== "");
}

function unquote(text: string): string {
  return text.startsWith('"') && text.endsWith('"') && text.length > 1
    ? text.slice(1, -1).replace(/\\(["\\])/g, "$1")
    : text;
}
