// @vitest-environment jsdom
// Every block of the README runs and prints what it says it prints.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { gatewayForAll } from "./gateway.js";

const held = gatewayForAll();
const text = readFileSync("README.md", "utf8");
const blocks = [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```\n(?:\n```text\n([\s\S]*?)^```\n)?/gm)]
  .map(([, language, code, output]) => ({ language: language as string, code: code as string, output }))
  .filter(({ language }) => language !== "text");
let folder: string;

beforeAll(async () => {
  // Within the package, so that it can import itself by name, as built.
  folder = mkdtempSync(".readme-");
  const run = promisify(execFile);
  await run("npx", ["tsc", "-p", "tsconfig.json"]);
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true }));

it("has no block that is not run", () => {
  expect(blocks.map((one) => one.language)).toEqual(["js", "js", "js", "js", "tsx"]);
});

it.each(blocks.filter(({ language }) => language === "js").map((block, n) => [n + 1, block] as const))("runs block %i", async (n, { code, output }) => {
  const file = join(folder, `block-${n}.mjs`);
  writeFileSync(file, code.replaceAll("http://127.0.0.1:3000", held.url));
  const { stdout } = await promisify(execFile)("node", [file], { timeout: 30_000 });
  if (output === undefined) expect(stdout).toContain("the worker got blue");
  else expect(stdout).toBe(output);
});

it("shows the page of the React block", async () => {
  const { code } = blocks.find(({ language }) => language === "tsx")!;
  const file = join(folder, "page.tsx");
  writeFileSync(file, code.replaceAll("http://127.0.0.1:3000", held.url));
  const root = document.body.appendChild(document.createElement("div"));
  root.id = "root";
  await import(/* @vite-ignore */ join(process.cwd(), file));
  await vi.waitFor(() => expect(root.textContent).toBe("llama3.1:8bdone"), { timeout: 15_000 });
  expect(root.querySelector("progress")?.value).toBe(40);
});
