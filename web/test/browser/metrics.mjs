// The stack's counters, read from its Prometheus/OpenMetrics page.

/** One reading of the page at `url`. */
export async function readMetrics(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`the metrics page answered ${response.status}`);
  return parseMetrics(await response.text());
}

/** One reading of such a page that is there already. */
export function parseMetrics(text) {
  return new Metrics(parse(text));
}

class Metrics {
  constructor(samples) {
    this.samples = samples;
  }

  /** The sum of the samples of `name` (a string, or a pattern) whose labels pass `where`. */
  sum(name, where = () => true) {
    const fits = typeof name === "string" ? (each) => each === name : (each) => name.test(each);
    let sum;
    for (const sample of this.samples) {
      if (fits(sample.name) && where(sample.labels)) sum = (sum ?? 0) + sample.value;
    }
    return sum;
  }

  names(pattern) {
    return [...new Set(this.samples.map(({ name }) => name))].filter((name) => pattern.test(name));
  }
}

function parse(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, key, value] of (match[2] ?? "").matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)) labels[key] = value;
    samples.push({ name: match[1], labels, value: Number(match[3]) });
  }
  return samples;
}
