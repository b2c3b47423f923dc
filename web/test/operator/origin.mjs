// An origin for the edge under test: films whose segments may be cached, what is not there, and what breaks.
import { createServer } from "node:http";

export const SEGMENT = 192 * 1024;

/** A page for a browser to ask from, which asks for nothing by itself. */
export const PLAYER = "/player.html";
const ICONLESS = `<!doctype html><title>player</title><link rel="icon" href="data:,">\n`;

export class Origin {
  static async start() {
    const body = Buffer.alloc(SEGMENT, "headwater");
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url, "http://origin");
      const status = pathname.startsWith("/missing") ? 404 : pathname.startsWith("/broken") ? 500 : 200;
      const type = pathname.endsWith(".m4s") ? "video/mp4" : pathname === PLAYER ? "text/html" : "text/plain";
      // Clients count what the edge sends, so that nothing is made smaller on the way.
      const lasts = status === 200 ? "max-age=600, no-transform" : "no-store";
      response.writeHead(status, { "content-type": type, "cache-control": lasts });
      response.end(status !== 200 ? `${status}\n` : pathname === PLAYER ? ICONLESS : body);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Origin(server);
  }

  constructor(server) {
    this.server = server;
    this.url = `http://127.0.0.1:${server.address().port}`;
  }

  /** The URL of an origin that is not there: its port was free a moment ago. */
  async nobody() {
    const server = createServer();
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    return `http://127.0.0.1:${port}`;
  }

  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }
}
