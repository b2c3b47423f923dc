// What docs/players.md says: its tables, read.

/** `what player` of each cell that begins with «played». */
export function playedByDocument(text) {
  const played = new Set();
  for (const table of text.match(/(^\|.*\n)+/gm) ?? []) {
    const rows = table.trimEnd().split("\n");
    const [head, , ...body] = rows.map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
    for (const [what, ...cells] of body) {
      cells.forEach((cell, at) => {
        if (/^played\b/.test(cell)) played.add(`${what} ${head[at + 1]}`);
      });
    }
  }
  return played;
}
