// Builds the pages into dist/: bundles and images under dist/static with a hash of their content
// in the name (so they may be cached for ever), and the HTML that names them.
// The result replaces dist/ in one rename: a stack that is running never serves half a build.
import { build } from "esbuild";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "node_modules", ".headwater-dist");
const pages = ["index.html", "watch.html"];
const entries = ["catalogue.ts", "watch.ts", "style.css", "logo.svg"];

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: entries.map((entry) => `src/${entry}`),
  outdir: join(out, "static"),
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  loader: { ".svg": "copy" },
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["es2022", "chrome109", "firefox115", "safari16"],
  minify: true,
  legalComments: "linked",
  metafile: true,
  logLevel: "warning",
});

const built = new Map();
const sizes = [];
for (const [path, output] of Object.entries(metafile.outputs)) {
  if (output.entryPoint) built.set(basename(output.entryPoint), basename(path));
  else if (Object.keys(output.inputs).length === 1) {
    const [input] = Object.keys(output.inputs);
    if (entries.includes(basename(input))) built.set(basename(input), basename(path));
  }
  sizes.push([relative(out, join(here, path)), output.bytes]);
}

for (const page of pages) {
  const html = await readFile(join(here, "src", page), "utf8");
  const linked = html.replace(/(src|href)="\.\/([^"]+)"/g, (whole, attribute, name) => {
    const file = built.get(name);
    if (!file) throw new Error(`${page} names ./${name}, which no entry point builds`);
    return `${attribute}="/static/${file}"`;
  });
  await writeFile(join(out, page), linked);
  sizes.push([page, linked.length]);
}

// The bundles hold other people's work: their licences travel with it.
const { dependencies } = JSON.parse(await readFile(join(here, "package.json"), "utf8"));
const licences = await Promise.all(
  Object.entries(dependencies).map(async ([name, version]) => {
    const text = await readFile(join(here, "node_modules", name, "LICENSE"), "utf8");
    return `${name} ${version}\n\n${text.trim()}\n`;
  }),
);
await writeFile(join(out, "static", "licences.txt"), licences.join("\n\n"));

const dist = join(here, "dist");
await rm(dist, { recursive: true, force: true });
await rename(out, dist);
for (const [name, bytes] of sizes.sort((a, b) => b[1] - a[1])) {
  console.log(`${(bytes / 1024).toFixed(1).padStart(8)} KiB  ${name}`);
}
