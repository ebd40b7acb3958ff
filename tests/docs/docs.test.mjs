// What the documentation says is so: its blocks run, its links lead somewhere, its names exist.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Gateway, eventually } from "../clients/js/lib/gateway.js";
import { startRedis } from "../clients/js/lib/redis.js";
import { page } from "./configuration.mjs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const run = promisify(execFile);
const read = (name) => readFileSync(path.join(ROOT, name), "utf8");

/** Every file below a folder that has this ending. */
function files(folder, ending) {
  return readdirSync(path.join(ROOT, folder), { recursive: true })
    .filter((name) => name.endsWith(ending))
    .map((name) => path.join(folder, name));
}

const pages = ["README.md", "ARCHITECTURE.md", ...files("docs", ".md")];

test("the reference of the configuration is up to date", () => {
  const is = read("docs/configuration.md");
  assert.equal(is, page(read("config/tidings.toml")), "run `node tests/docs/configuration.mjs` and commit it");
});

test("every link within the repository leads somewhere", () => {
  const broken = [];
  for (const name of [...pages, ...files("clients/python", "README.md"), "clients/typescript/README.md"]) {
    if (name.includes("node_modules")) continue;
    for (const [, link] of read(name).matchAll(/\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)/g)) {
      if (link && !existsSync(path.join(ROOT, path.dirname(name), link))) broken.push(`${name}: ${link}`);
    }
  }
  assert.deepEqual(broken, []);
});

test("every metric and setting that is named exists", () => {
  const source = files("src", ".rs").map(read).join("\n");
  const metrics = new Set([...source.matchAll(/"(tidings_[a-z_]+)"/g)].map(([, name]) => name));
  const settings = new Set([...page(read("config/tidings.toml")).matchAll(/^\| `([a-z0-9_.]+)`/gm)].map(([, key]) => key));
  const sections = [...settings].map((key) => key.split(".").slice(0, -1).join("."));
  const unknown = [];
  for (const name of ["docs/operations.md", "docs/migration.md", "docs/protocols.md", "docs/comparison.md", ...files("deploy", "")]) {
    const text = read(name);
    for (const [metric] of text.matchAll(/\btidings_[a-z_]+/g)) {
      if (!metrics.has(metric) && !metrics.has(metric.replace(/_(?:total|bucket)$/, ""))) unknown.push(`${name}: ${metric}`);
    }
    for (const [key] of text.matchAll(/\b(?:log|auth|wire|limit|store|hub|face|upstream|drain|producer(?=\.scan))(?:\.[a-z0-9_]+)+\b/g)) {
      if (!key.endsWith(".md") && !settings.has(key) && !sections.includes(key)) unknown.push(`${name}: ${key}`);
    }
  }
  assert.deepEqual(unknown, []);
});

test("the dashboard is one that Grafana takes: panels have queries and places of their own", () => {
  const { panels } = JSON.parse(read("deploy/grafana-dashboard.json"));
  const taken = new Set();
  for (const { id, type, gridPos, targets, title } of panels) {
    assert.ok(title && !taken.has(id), title);
    taken.add(id);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.ok(x < 24 && !taken.has(`${x},${y}`), `${title} lies on another`);
        taken.add(`${x},${y}`);
      }
    }
    if (type !== "row") assert.ok(targets.every(({ expr }) => /tidings_/.test(expr)), title);
  }
});

test("the files for Compose, Kubernetes and systemd are what those take", async () => {
  const bin = (name) => path.join(ROOT, ".cache/venv-docs/bin", name);
  const deploy = (name) => path.join(ROOT, "deploy", name);
  await run(bin("check-jsonschema"), ["--builtin-schema", "vendor.compose-spec", deploy("compose.yaml")], { timeout: 60_000 });
  const { stderr, stdout } = await run(bin("kubernetes-validate"), ["--strict", deploy("kubernetes.yaml")], { timeout: 60_000 });
  assert.equal((stdout + stderr).match(/passed for resource/g)?.length, 5, stdout + stderr);
  for (const [, file] of read("deploy/compose.yaml").matchAll(/"\.\/([a-z.-]+):\//g)) assert.ok(existsSync(deploy(file)), file);
  const analyze = await run("systemd-analyze", ["--version"]).then(() => true, () => false);
  if (analyze) {
    const folder = mkdtempSync(path.join(ROOT, "tests/clients/js/.docs-"));
    const unit = path.join(folder, "tidings.service");
    writeFileSync(unit, read("deploy/tidings.service").replace("/usr/local/bin/tidings", "/bin/true"));
    const said = await run("systemd-analyze", ["verify", unit], { timeout: 60_000 }).finally(() => rmSync(folder, { recursive: true }));
    assert.equal(said.stderr.split("\n").filter((line) => line.includes("tidings.service")).join("\n"), "");
  }
});

test("a node is given longer to end than its drain takes", () => {
  const limit = Number(/^limit = "(\d+)s"/m.exec(read("config/tidings.toml").split("[drain]")[1])[1]);
  const given = [
    /stop_grace_period: (\d+)s/.exec(read("deploy/compose.yaml"))[1],
    /terminationGracePeriodSeconds: (\d+)/.exec(read("deploy/kubernetes.yaml"))[1],
    /TimeoutStopSec=(\d+)/.exec(read("deploy/tidings.service"))[1],
  ];
  for (const seconds of given) assert.ok(Number(seconds) >= limit + 5, `${seconds} s for a drain of ${limit} s`);
});

const BLOCK = /^```(js|python|sh)\n([\s\S]*?)^```\n(?:\n```text\n([\s\S]*?)^```\n)?/gm;
/** How a block of a language is run; its packages are those of the suites. */
const runners = {
  js: (file) => ["node", [file], ".mjs"],
  python: (file) => [path.join(ROOT, ".cache/venv-docs/bin/python"), [file], ".py"],
  sh: (file) => ["bash", ["-euo", "pipefail", file], ".sh"],
};

/** A gateway for the tests around, and a folder beside the packages of the stock clients, so that they are found. */
function forTests(hand) {
  let gateway, folder;
  before(async () => {
    gateway = await Gateway.start();
    folder = mkdtempSync(path.join(ROOT, "tests/clients/js/.docs-"));
    hand({ gateway, folder });
  });
  after(async () => {
    if (folder) rmSync(folder, { recursive: true });
    await gateway?.stop();
  });
}

for (const name of ["docs/dashboard.md", "docs/migration.md", "docs/operations.md", "docs/protocols.md"]) {
  describe(name, () => {
    let gateway, folder;
    forTests((made) => ({ gateway, folder } = made));
    const blocks = [...read(name).matchAll(BLOCK)];
    assert.ok(blocks.length > 0, `${name} has blocks to run`);
    for (const [n, [, language, code, output = ""]] of blocks.entries()) {
      test(`block ${n + 1} (${language})`, async () => {
        const [, , ending] = runners[language]("");
        const file = path.join(folder, `block-${n}${ending}`);
        writeFileSync(file, code.replaceAll("127.0.0.1:3000", new URL(gateway.url).host));
        const [command, args] = runners[language](file);
        const env = { ...process.env, TIDINGS_URL: gateway.url, PYTHONPATH: path.join(ROOT, "clients/python/src") };
        const { stdout } = await run(command, args, { env, timeout: 30_000 });
        assert.equal(stdout.replaceAll("\r", ""), output);
      });
    }
  });
}

describe("docs/inbox.md", () => {
  let redis, gateway, folder;
  before(async () => {
    redis = await startRedis();
    gateway = await Gateway.start({ env: { REDIS_URL: redis.url } });
    folder = mkdtempSync(path.join(ROOT, "tests/clients/js/.docs-"));
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    await gateway.stop();
    await redis.stop();
  });

  test("its blocks add what a subscriber of the session is told", async () => {
    const port = new URL(redis.url).port;
    for (const [n, [, language, code, output = ""]] of [...read("docs/inbox.md").matchAll(BLOCK)].entries()) {
      const file = path.join(folder, `block-${n}${runners[language]("")[2]}`);
      writeFileSync(file, code.replaceAll("6379", port));
      const [command, args] = runners[language](file);
      const { stdout } = await run(command, args, { timeout: 30_000 });
      assert.equal(stdout, output);
    }
    const events = async () => (await gateway.http("GET", "/v1/topics/session:abc/events")).body?.events ?? [];
    await eventually(async () => (await events()).length >= 5, 20_000, "all entries were appended");
    const told = (await events()).map(({ name, data }) => [name, data.progress]);
    assert.deepEqual(told, [["progress", 40], ["progress", 30], ["progress", 60], ["progress", 90], ["completed", undefined]]);
  });
});

describe("README.md", () => {
  let gateway, folder;
  forTests((made) => ({ gateway, folder } = made));

  test("what it receives with is told what it publishes", async () => {
    const blocks = [...read("README.md").matchAll(BLOCK)].map(([, language, code]) => ({ language, code }));
    const here = (code) => code.replaceAll("127.0.0.1:3000", new URL(gateway.url).host);
    const only = (language, part) => {
      const found = blocks.filter((one) => one.language === language && one.code.includes(part));
      assert.equal(found.length, 1, `one ${language} block with ${part}`);
      return here(found[0].code);
    };
    const start = (language, code) => {
      const file = path.join(folder, `readme${runners[language]("")[2]}`);
      writeFileSync(file, code);
      const [command, args] = runners[language](file);
      return run(command, args, { timeout: 30_000, env: { ...process.env, PYTHONUNBUFFERED: "1" } });
    };
    const receivers = [start("js", only("js", "socket.on")), start("python", only("python", "client.wait()"))];
    const failed = Promise.all(receivers);
    const isThere = async () => (await gateway.http("GET", "/v1/topics/session:abc/subscribers")).body?.subscribers?.length === 2;
    await Promise.race([failed.then(() => assert.fail("they ended too soon")), eventually(isThere, 20_000, "both subscribed")]);
    await start("sh", only("sh", "Idempotency-Key"));
    const [js, python] = await failed;
    assert.equal(js.stdout, "40 %: PROCESSING\ndone: all is well\n");
    assert.equal(python.stdout, "40 PROCESSING\ndone: all is well\n");
  });
});

test("the alert about the store is silent for a gateway without a data directory", async () => {
  const gateway = await Gateway.start();
  const { body } = await gateway.http("GET", "/metrics");
  await gateway.stop();
  assert.match(body, /^tidings_store_writable 1$/m);
});
