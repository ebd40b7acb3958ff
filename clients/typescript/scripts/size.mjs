// Bundles what a page would load, prints the sizes, and fails when the whole package is too big, or an entry pulls in
// what it must not. Run after `npm run build`.
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const LIMIT = 6000;
const foreign = ["react", "socket.io-client"];

async function bundle(contents) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: new URL("..", import.meta.url).pathname },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    external: foreign,
  });
  const text = outputFiles[0].text;
  return { bytes: gzipSync(text, { level: 9 }).length, imports: foreign.filter((name) => text.includes(`from"${name}"`)) };
}

const all = (...entries) => entries.map((entry, n) => `export * as e${n} from "./dist/${entry}.js";`).join("\n");
const cases = [
  ["index", all("index"), LIMIT, ["socket.io-client"]],
  ["sse", all("sse"), LIMIT, []],
  ["producer", all("producer"), LIMIT, []],
  ["react", all("react"), LIMIT, ["react"]],
  ["everything", all("index", "sse", "producer", "react"), LIMIT, foreign],
  // An import that is not used leaves nothing behind.
  ["nothing", `import { connect } from "./dist/index.js"; import { Producer } from "./dist/producer.js";`, 40, []],
];
for (const [name, contents, limit, allowed] of cases) {
  const { bytes, imports } = await bundle(contents);
  const stray = imports.filter((one) => !allowed.includes(one));
  const verdict = bytes >= limit ? `more than ${limit}` : stray.length ? `imports ${stray}` : "ok";
  console.log(`${name.padEnd(11)} ${String(bytes).padStart(5)} B gzip  ${verdict}`);
  if (verdict !== "ok") process.exitCode = 1;
}
