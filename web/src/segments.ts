// The log of segments that a player fetched: what the player heard (status, headers, bytes)
// joined with what the browser measured (protocol, time).
import { cacheState, type CacheState } from "./cache_status.ts";

export interface Segment {
  url: string;
  /** ALPN id of the connection, `""` until the browser tells. */
  protocol: string;
  /** The Cache-Status header (RFC 9211) as it came, `""` when there was none. */
  cacheStatus: string;
  bytes: number;
  ms: number;
  /** Whether the browser answered from its own cache, without asking the server. */
  local: boolean;
}

export interface Heard {
  url: string;
  cacheStatus: string;
  bytes: number;
  ms: number;
}

const MOST = 1000;

export class SegmentLog {
  /** The newest `MOST` segments, oldest first. */
  readonly segments: Segment[] = [];
  private readonly unmatched = new Map<string, PerformanceResourceTiming>();
  private readonly observer: PerformanceObserver;

  constructor() {
    // The browser's own buffer holds 250 entries and then stops; the observer has no such end.
    this.observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) this.measured(entry as PerformanceResourceTiming);
    });
    this.observer.observe({ type: "resource", buffered: true });
    performance.addEventListener("resourcetimingbufferfull", () => performance.clearResourceTimings());
  }

  /** A player got a response. Manifests and playlists are no segments and are left out. */
  heard({ url, cacheStatus, bytes, ms }: Heard): void {
    if (!isSegment(url)) return;
    const segment: Segment = { url, protocol: "", cacheStatus, bytes, ms: Math.round(ms), local: false };
    this.segments.push(segment);
    if (this.segments.length > MOST) this.segments.shift();
    const entry = this.unmatched.get(url);
    if (entry) {
      this.unmatched.delete(url);
      join(segment, entry);
    }
  }

  private measured(entry: PerformanceResourceTiming): void {
    if (!isSegment(entry.name) || entry.responseStatus >= 300) return;
    const waiting = this.segments.find((segment) => segment.url === entry.name && segment.protocol === "");
    if (waiting) join(waiting, entry);
    else if (this.unmatched.size < MOST) this.unmatched.set(entry.name, entry);
  }
}

/** How many of the segments that the network brought were in each state. */
export function tally(segments: readonly Segment[]): Map<CacheState, number> {
  const counts = new Map<CacheState, number>();
  for (const segment of segments) {
    if (segment.local) continue;
    const state = cacheState(segment.cacheStatus);
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return counts;
}

function join(segment: Segment, entry: PerformanceResourceTiming): void {
  segment.local = entry.transferSize === 0 && entry.decodedBodySize > 0;
  segment.protocol = entry.nextHopProtocol || (segment.local ? "cache" : "unknown");
  segment.ms = Math.round(entry.duration);
  if (segment.bytes === 0) segment.bytes = entry.decodedBodySize;
}

function isSegment(url: string): boolean {
  const path = url.split(/[?#]/, 1)[0]!;
  return /\.(m4s|mp4|m4v|m4a|cmfv|cmfa|ts|aac)$/.test(path);
}
