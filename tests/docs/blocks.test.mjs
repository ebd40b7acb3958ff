// No block of the documentation is there unchecked: it is run by a test, or it is one of the few sorts that cannot be, and
// then what can be checked of it is.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Script } from "node:vm";

import { Gateway } from "../clients/js/lib/gateway.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const BINARY = process.env.GATEWAY_BIN ?? path.join(ROOT, "target/debug/tidings");
const PYTHON = path.join(ROOT, ".cache/venv-docs/bin/python");
const run = promisify(execFile);
const read = (name) => readFileSync(path.join(ROOT, name), "utf8");

/** The blocks of a page: language, code, and the line where it begins. */
function blocksOf(page) {
  const text = read(page);
  return [...text.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)].map(({ 1: language, 2: code, index }) => ({
    page,
    language: language.split(" ")[0],
    code,
    line: text.slice(0, index).split("\n").length,
    before: text.slice(0, index).trimEnd().split("\n").at(-1),
    isOutput: /^```\n\n$/m.test(text.slice(Math.max(0, index - 5), index)),
  }));
}

const pages = [
  "README.md",
  "ARCHITECTURE.md",
  "SECURITY.md",
  "CHANGELOG.md",
  ...readdirSync(path.join(ROOT, "docs"), { recursive: true })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

/** Pages whose blocks of these languages a test runs, all of them; it names the page or the folder that it takes them from. */
const RUN = [
  { test: "tests/docs/docs.test.mjs", pages: /^docs\/(dashboard|migration|operations|protocols|inbox)\.md$/, languages: ["js", "python", "sh"] },
  { test: "tests/docs/docs.test.mjs", pages: /^README\.md$/, languages: ["js"] },
  { test: "tests/integration/sockets/pages.rs", pages: /^docs\/protocols\/(job-progress|directory-scan|progress-channel)\.md$/, languages: ["transcript"] },
  { test: "tests/integration/sockets/conversations.rs", pages: /^docs\/protocols\/(library|assist)\.md$/, languages: ["conversation"] },
  { test: "tests/integration/redis/kinds.rs", pages: /^docs\/redis\.md$/, languages: [""] },
  // These are run below.
  { test: "tests/docs/blocks.test.mjs", pages: /^(README|docs\/recovery)\.md$/, languages: ["js", "python"] },
];

/** What the other blocks of the README hold that are run here and in docs.test.mjs. */
const IN_README = ["Idempotency-Key", "client.wait()", "tidings watch session:abc", "FastAPI", "session:far"];

/** Sorts of blocks that are not run, each with what is checked instead. */
const CHECKED = [
  // What a block before it prints; whoever runs that one compares.
  { is: (block) => block.language === "text" && block.isOutput, check: () => {} },
  // What the server looked like that one comes from: it is a program in its language.
  { is: (block) => block.language === "text" && /^Before\b.*:$/.test(block.before), check: isProgram },
  // A record of what stock clients see, written by a program.
  { is: (block) => block.page === "docs/transcripts.md", check: () => assert.ok(read("tests/transcripts.sh").includes("transcripts.md")) },
  // The page of the React block is shown by the tests of the package.
  { is: (block) => block.language === "tsx", check: ({ code }) => assert.ok(read("clients/typescript/README.md").includes(code)) },
  { is: (block) => block.language === "toml", check: isConfiguration },
  // What a terminal shows: the commands in it exist.
  { is: (block) => block.language === "console", check: ({ code }) => areCommands({ code: code.split("\n").filter((line) => line.startsWith("$ ")).map((line) => line.slice(2)).join("\n") }) },
  { is: (block) => block.language === "json", check: ({ code }) => JSON.parse(code) },
  { is: (block) => block.language === "yaml", check: isYaml },
  // The same directives as in the file under deploy/.
  { is: (block) => block.language === "nginx", check: isNginx },
  // What builds, takes minutes or needs another machine: its commands and flags exist.
  { is: (block) => block.language === "sh", check: areCommands },
];

async function isConfiguration({ code }) {
  const folder = mkdtempSync(path.join(ROOT, "tests/clients/js/.docs-"));
  try {
    const file = path.join(folder, "tidings.toml");
    writeFileSync(file, code);
    await run(BINARY, ["check-config", "--config", file]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function isYaml({ code }) {
  await run(PYTHON, ["-c", "import sys, yaml; assert list(yaml.safe_load_all(sys.argv[1]))", code]);
}

async function isProgram({ code }) {
  if (code.includes("=>")) return void new Script(`async () => {\n${code}\n}`);
  await run(PYTHON, ["-c", "import ast, sys; ast.parse(sys.argv[1])", code]);
}

function isNginx({ code }) {
  const known = read("deploy/nginx.conf");
  for (const [, directive] of code.matchAll(/^ *([a-z_]+) /gm)) assert.ok(known.includes(directive), directive);
}

const helps = new Map();
async function help(...words) {
  const key = words.join(" ");
  if (!helps.has(key)) helps.set(key, (await run(BINARY, [...words, "--help"])).stdout);
  return helps.get(key);
}

async function areCommands({ code }) {
  const lines = code.replaceAll("\\\n", " ").split("\n").map((line) => line.split(" #")[0].trim());
  for (const line of lines.filter((one) => one && !one.startsWith("#"))) {
    const [command, ...words] = line.replace(/^([A-Z_]+=\S+ +)+/, "").split(/\s+/);
    const name = path.basename(command);
    if (name === "tidings") {
      const [sub] = words.filter((word) => !word.startsWith("-"));
      const text = await help(...(sub ? [sub] : []));
      for (const flag of words.filter((word) => word.startsWith("--"))) assert.ok(text.includes(flag), `${flag} of ${line}`);
    } else if (name === "node") {
      assert.ok(existsSync(path.join(ROOT, words[0])), words[0]);
    } else if (name === "export") {
      assert.match(words.join(" "), /^([A-Z_]+=\S+ ?)+$/);
    } else if (name === "run.sh") {
      assert.ok(read("tests/run.sh"));
    } else {
      assert.ok(["cargo", "docker", "buildah", "debootstrap", "apt-get"].includes(name), `nobody checks \`${line}\``);
    }
  }
}

for (const page of pages) {
  const blocks = blocksOf(page);
  if (blocks.length === 0) continue;
  test(`every block of ${page} is run or checked`, async () => {
    for (const block of blocks) {
      const where = `${page}:${block.line}`;
      const runner = RUN.find((one) => one.pages.test(page) && one.languages.includes(block.language));
      if (runner) {
        const text = read(runner.test);
        assert.ok(text.includes(path.basename(page, ".md")), `${runner.test} does not run ${where}`);
        continue;
      }
      if (page === "README.md" && IN_README.some((part) => block.code.includes(part))) continue;
      const sort = CHECKED.find((one) => one.is(block));
      assert.ok(sort, `${where}: nobody runs or checks this block (${block.language || "no language"})`);
      await sort.check(block);
    }
  });
}




const freePort = () =>
  new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

describe("blocks that need something around them", () => {
  let gateway, folder;
  before(async () => {
    gateway = await Gateway.start();
    folder = mkdtempSync(path.join(ROOT, "tests/clients/js/.docs-"));
    mkdirSync(path.join(folder, "target/release"), { recursive: true });
    symlinkSync(path.resolve(BINARY), path.join(folder, "target/release/tidings"));
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    await gateway.stop();
  });
  const env = () => ({ ...process.env, TIDINGS_URL: gateway.url, PYTHONPATH: path.join(ROOT, "clients/python/src"), PYTHONUNBUFFERED: "1" });
  const block = (page, language, part) => {
    const found = blocksOf(page).filter((one) => one.language === language && one.code.includes(part));
    assert.equal(found.length, 1, `one ${language} block with ${part} in ${page}`);
    return found[0].code;
  };
  const script = async (name, code, [command, ...args]) => {
    writeFileSync(path.join(folder, name), code);
    const { stdout } = await run(command, [...args, path.join(folder, name)], { env: env(), cwd: folder, timeout: 60_000 });
    return stdout;
  };

  test("README: a service publishes, and the terminal shows it", async () => {
    const service = block("README.md", "python", "FastAPI");
    const ask = `
from fastapi.testclient import TestClient
answer = TestClient(app).post("/analyses/abc")
print(answer.status_code, answer.json())
`;
    assert.equal(await script("service.py", service + ask, [PYTHON]), "200 {'session': 'abc'}\n");
    const { stdout } = await run("bash", ["-c", block("README.md", "sh", "tidings watch session:abc")], { env: env(), cwd: folder, timeout: 60_000 });
    assert.match(stdout, /^ 40% {2}PROCESSING\ncounter: .*\ncompleted: all is well\n$/);
  });

  test("README: what is published on one node is read on the other", async () => {
    let code = block("README.md", "sh", "session:far");
    for (const port of ["6379", "3001", "3002"]) code = code.replaceAll(port, String(await freePort()));
    const ended = await script("nodes.sh", `trap 'kill $(jobs -p)' EXIT\n${code}`, ["bash", "-euo", "pipefail"]);
    assert.match(ended, /completed: published on one, read on the other\n/);
  });

  test("docs/recovery.md: a page that was not recovered subscribes again", async () => {
    const page = `
import { io } from "socket.io-client";
const socket = io(${JSON.stringify(gateway.url)});
const sessionId = "back";
socket.on("subscribed", ({ topic }) => { console.log(topic); socket.close(); });
${block("docs/recovery.md", "js", "recovered")}`;
    assert.equal(await script("page.mjs", page, ["node"]), "session:back\n");
  });

  test("docs/recovery.md: a script goes on after what it has seen last", async () => {
    await gateway.publish("session:abc", "model_result", { modelName: "first" });
    const { body } = await gateway.http("GET", "/v1/topics/session:abc/events?reverse=true&limit=1");
    await gateway.publish("session:abc", "model_result", { modelName: "missed" });
    const client = `
import socketio
sio = socketio.Client()
last = {"_epoch": ${JSON.stringify(body.events[0].epoch)}, "_seq": ${body.events[0].seq}}
@sio.on("model_result")
def result(data):
    print(data["modelName"])
    sio.disconnect()
sio.connect(${JSON.stringify(gateway.url)})
${block("docs/recovery.md", "python", "since")}
sio.wait()
`;
    assert.equal(await script("script.py", client, [PYTHON]), "missed\n");
  });
});
