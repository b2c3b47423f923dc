// What an operator's site gives to players: tokens, and manifests that name two edges and where to ask which of them
// is the better one (RFC 8216bis §7, ETSI TS 103 998).
import { createHmac } from "node:crypto";

/** A token for all below `path`, as docs/access.md and `headwater_edge::tokens::signed` say it is made. */
export function sign(secret, path, seconds) {
  const expires = Math.floor(Date.now() / 1000) + seconds;
  const before = `hw1..${expires}.${Buffer.from(path).toString("base64url")}.`;
  const mac = createHmac("sha256", secret).update(`headwater token 1\n${before}`).digest("base64url");
  return `${before}.${mac}`;
}

/** A multivariant playlist of one edge as one of several: `edges` are `[pathway, base URL]`, the first to begin with. */
export function steeredPlaylist(text, edges, steering) {
  const lines = text.trimEnd().split("\n");
  const at = (base, uri) => new URL(uri, base).href;
  const out = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"];
  out.push(`#EXT-X-CONTENT-STEERING:SERVER-URI="${steering}",PATHWAY-ID="${edges[0][0]}"`);
  for (const [pathway, base] of edges) {
    for (const line of lines.filter((each) => each.startsWith("#EXT-X-MEDIA:"))) {
      const named = line.replace(/GROUP-ID="([^"]+)"/, `GROUP-ID="$1-${pathway}"`);
      out.push(named.replace(/URI="([^"]+)"/, (_, uri) => `URI="${at(base, uri)}"`));
    }
    lines.forEach((line, number) => {
      if (!line.startsWith("#EXT-X-STREAM-INF:")) return;
      out.push(`${line.replace(/AUDIO="([^"]+)"/, `AUDIO="$1-${pathway}"`)},PATHWAY-ID="${pathway}"`);
      out.push(at(base, lines[number + 1]));
    });
  }
  return `${out.join("\n")}\n`;
}

/** An MPD with the edges as base URLs. */
export function steeredMpd(text, edges, steering) {
  const urls = edges.map(([pathway, base]) => `<BaseURL serviceLocation="${pathway}">${base}</BaseURL>`);
  const ask = `<ContentSteering defaultServiceLocation="${edges[0][0]}" queryBeforeStart="true">${steering}</ContentSteering>`;
  return text.replace(/(<MPD[^>]*>)/, `$1${urls.join("")}${ask}`);
}
