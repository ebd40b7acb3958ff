// What is compared with: Socket.IO on Node with @socket.io/redis-adapter and default options.
// PORT, REDIS (its URL), NODE_PATH (where the packages are).
const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-adapter");
const { createClient } = require("redis");

async function serve() {
  const publishing = createClient({ url: process.env.REDIS });
  const subscribed = publishing.duplicate();
  await Promise.all([publishing.connect(), subscribed.connect()]);
  const server = createServer((request, response) => {
    if (request.method !== "POST") return response.writeHead(200).end();
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const { sessionId, event, data } = JSON.parse(Buffer.concat(chunks));
      io.to(sessionId).emit(event, data);
      response.writeHead(202).end();
    });
  });
  const io = new Server(server, { adapter: createAdapter(publishing, subscribed) });
  io.on("connection", (socket) =>
    socket.on("subscribe", (sessionId) => {
      socket.join(sessionId);
      socket.emit("subscribed", { sessionId, timestamp: new Date().toISOString() });
    }),
  );
  server.listen(Number(process.env.PORT), "127.0.0.1");
}

serve();
