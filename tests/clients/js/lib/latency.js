// A TCP proxy that holds back websocket handshakes, so that an upgrade falls into the middle of a stream.
import net from "node:net";
import { once } from "node:events";

/** Listens on a free port before `gateway`; a handshake is passed on when what `hold(head)` answers for it has come about. */
export async function lateUpgrades(gateway, hold) {
  const sockets = new Set();
  const server = net.createServer((near) => {
    const far = net.connect(gateway.port, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    far.pipe(near);
    near.once("data", (first) => {
      near.pause();
      const pass = () => {
        far.write(first);
        near.pipe(far);
      };
      const head = first.toString("latin1");
      if (/\r\nupgrade: websocket\r\n/i.test(head)) Promise.resolve(hold(head)).then(pass);
      else pass();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
