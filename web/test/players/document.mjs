// What docs/players.md says: its table, read.

/** `codec player` of each cell that begins with «played». */
export function playedByDocument(text) {
  const rows = text
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  const [head, , ...body] = rows;
  const played = new Set();
  for (const [codec, ...cells] of body) {
    cells.forEach((cell, at) => {
      if (/^played\b/.test(cell)) played.add(`${codec} ${head[at + 1]}`);
    });
  }
  return played;
}
