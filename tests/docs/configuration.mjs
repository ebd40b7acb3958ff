// Writes docs/configuration.md from config/tidings.toml, or with --check fails when it is not up to date.
//
//   node tests/docs/configuration.mjs [--check]
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const SOURCE = new URL("../../config/tidings.toml", import.meta.url);
const TARGET = new URL("../../docs/configuration.md", import.meta.url);

const HEAD = `# Every setting

Made from [\`config/tidings.toml\`](../config/tidings.toml) by \`tests/docs/configuration.mjs\`; edit that file, not this one. Where
settings come from, and which source wins, is in the [README](../README.md#configuration).

In the environment a key is written in capitals with two underscores between its parts: \`wire.listen\` is
\`TIDINGS__WIRE__LISTEN\`. Durations are \`"25s"\`, sizes \`"64KiB"\`, lists JSON or a single bare string. A key that is off has an
example instead of a default. \`tidings print-config\` prints what holds and where it came from.`;

const KEY = /^(# )?([a-z][a-z0-9_]*) = (.*)$/;
const cell = (text) => text.replaceAll("|", "\\|");

/** The page for the text of the defaults. */
export function page(text) {
  const out = [HEAD];
  let section = "";
  let comment = [];
  let said = "";
  let isTableOpen = false;
  for (const line of text.split("\n")) {
    const key = KEY.exec(line);
    if (line === "") {
      // A comment on its own is about the file.
      comment = [];
      said = "";
    } else if (/^\[.*\]$/.test(line)) {
      section = line.slice(1, -1);
      out.push(`\n## \`[${section}]\`\n`);
      if (comment.length) out.push(`${comment.join(" ")}\n`);
      comment = [];
      said = "";
      isTableOpen = false;
    } else if (key) {
      const [, off, name, value] = key;
      if (!isTableOpen) out.push("| key | default | |\n| --- | --- | --- |");
      isTableOpen = true;
      // Keys in a row share the comment above them.
      said = comment.length ? comment.join(" ") : said;
      comment = [];
      out.push(`| \`${section}.${name}\` | ${off ? `off; \`${cell(value)}\`` : `\`${cell(value)}\``} | ${cell(said)} |`);
    } else if (line.startsWith("# ")) {
      comment.push(line.slice(2));
    } else {
      throw new Error(`config/tidings.toml has a line that is not understood: ${line}`);
    }
  }
  return `${out.join("\n")}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = page(readFileSync(SOURCE, "utf8"));
  if (!process.argv.includes("--check")) writeFileSync(TARGET, text);
  else if (readFileSync(TARGET, "utf8") !== text) {
    console.error("docs/configuration.md is not what config/tidings.toml says: run `node tests/docs/configuration.mjs` and commit it");
    process.exitCode = 1;
  }
}
