// Three nodes over one Redis, of which one is killed and started again, while clients check every event.
import { it } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const script = fileURLToPath(new URL("../../../house/run.mjs", import.meta.url));

it("nothing is lost, doubled or reordered when a node is killed", { timeout: 240_000 }, async () => {
  const args = [script, "R4", "--clients", "24", "--topics", "4", "--rate", "20", "--rounds", "1", "--pause", "1"];
  const { stdout } = await run(process.execPath, args, { timeout: 200_000 });
  const { failures, published, lost, doubled, out_of_order, gaps_announced, recovered, resumed } = JSON.parse(stdout);
  assert.deepEqual([failures, lost, doubled, out_of_order, gaps_announced], [[], 0, 0, 0, 0]);
  assert.ok(published > 50 && recovered + resumed > 0, stdout);
});
