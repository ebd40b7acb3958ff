// Follows one session with a stock client and prints each event as a line, until it is complete.
//
//   node transcript.js 4.8|4.5|3.1|2.5 URL SESSION
import { ioOf } from "./lib/client.js";

const [version, url, session] = process.argv.slice(2);
const socket = ioOf(version)(url, { path: "/socket.io/", transports: ["polling", "websocket"] });
const QUIET = new Set(["timestamp", "sessionId", "topic", "_epoch", "id"]);

/** The payload on one line, without what differs from run to run. */
const line = (data) => JSON.stringify(data, (key, value) => (QUIET.has(key) || value === null ? undefined : value));

socket.on("connect", () => {
  console.log(`connect         ${socket.io.engine.transport.name}`);
  socket.emit("subscribe", session);
});
for (const name of ["subscribed", "progress", "model_result", "clarification", "completed", "error"])
  socket.on(name, (data) => {
    console.log(`${name.padEnd(15)} ${line(data)}`);
    if (name === "completed") {
      console.log(`disconnect      after ${socket.io.engine.transport.name}`);
      socket.close();
    }
  });
