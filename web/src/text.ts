// Figures and protocol names as people read them.

/** `h3` → `HTTP/3`: names of ALPN protocol ids (RFC 7301), as PerformanceResourceTiming gives them. */
export function protocolName(alpn: string | undefined): string {
  switch (alpn) {
    case "h3":
      return "HTTP/3";
    case "h2":
      return "HTTP/2";
    case "http/1.1":
      return "HTTP/1.1";
    case "http/1.0":
      return "HTTP/1.0";
    default:
      return alpn || "unknown";
  }
}

export function bitrate(bitsPerSecond: number | undefined): string {
  if (!bitsPerSecond || !Number.isFinite(bitsPerSecond)) return "–";
  return bitsPerSecond >= 1e6
    ? `${(bitsPerSecond / 1e6).toFixed(bitsPerSecond >= 1e7 ? 0 : 1)} Mbit/s`
    : `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
}

export function size(bytes: number): string {
  if (bytes >= 1024 * 1024) return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
  return bytes >= 1024 ? `${Math.round(bytes / 1024)} KiB` : `${bytes} B`;
}

/** `1:02:03` or `0:07`, of milliseconds. */
export function clock(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  return minutes >= 60 ? `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

export function plural(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
