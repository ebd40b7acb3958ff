/** Serves a folder as an ordinary web server does, for what is to be looked at in a browser. */

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.png': 'image/png', '.svg': 'image/svg+xml' };

/** Listens on a free port; answers `{origin, close}`. */
export async function serveFiles(folder) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://files');
    const file = path.join(folder, pathname === '/' ? 'index.html' : path.normalize(pathname));
    try {
      const body = await readFile(file);
      response.writeHead(200, { 'Content-Type': TYPES[path.extname(file)] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(404).end(`${file} is not there`);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
