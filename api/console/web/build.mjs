// Builds what the console's pages load: scripts, styles, fonts and icons, into ../assets, each under
// a name that holds a hash of it and compressed beside it; manifest.json says which name is which.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { constants, gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "assets");

// The icons that pages use, by their names in Lucide: `ui.icon("name")` of a template.
const ICONS = readFileSync(join(here, "icons.txt"), "utf8").split(/\s+/).filter(Boolean);

function sprite() {
  const { icons, width = 24, height = 24 } = JSON.parse(
    readFileSync(join(here, "node_modules/@iconify-json/lucide/icons.json"), "utf8"),
  );
  const missing = ICONS.filter((name) => !icons[name]);
  if (missing.length) throw new Error(`icons.txt: Lucide has no ${missing.join(", ")}`);
  const symbols = ICONS.map(
    (name) => `<symbol id="${name}" viewBox="0 0 ${width} ${height}">${icons[name].body}</symbol>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`;
}

function hashed(name, bytes) {
  const end = extname(name);
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 10);
  return `${basename(name, end)}-${hash}${end}`;
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const entries = [...readdirSync(join(here, "src/pages")).map((name) => `src/pages/${name}`),
  ...readdirSync(join(here, "styles/pages")).map((name) => `styles/pages/${name}`)];
const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: entries.map((name) => ({ in: name, out: basename(name, extname(name)) })),
  outdir: out,
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome123", "firefox120", "safari17.5"],
  entryNames: "[name]-[hash]",
  chunkNames: "shared-[hash]",
  assetNames: "[name]-[hash]",
  publicPath: "/console/assets",
  loader: { ".woff2": "file" },
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

const manifest = {};
for (const [path, { entryPoint }] of Object.entries(metafile.outputs)) {
  const name = basename(path);
  manifest[entryPoint ? basename(entryPoint).replace(/\.ts$/, ".js") : name] = name;
}
const icons = sprite();
manifest["icons.svg"] = hashed("icons.svg", icons);
writeFileSync(join(out, manifest["icons.svg"]), icons);
const mark = readFileSync(join(here, "mark.svg"));
manifest["mark.svg"] = hashed("mark.svg", mark);
writeFileSync(join(out, manifest["mark.svg"]), mark);
for (const name of Object.values(manifest)) {
  if (name.endsWith(".woff2")) continue; // compressed as they are
  const bytes = readFileSync(join(out, name));
  writeFileSync(join(out, `${name}.gz`), gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION }));
}
writeFileSync(join(out, "manifest.json"), JSON.stringify(manifest, null, 1) + "\n");
