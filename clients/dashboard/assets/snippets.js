/** What a newcomer copies: publish a first event, and receive it with the stock clients. */

/** @param {string} origin the address this page was loaded from */
export function snippets(origin) {
  return {
    publish: [
      `curl ${origin}/v1/topics/session:hello/events \\`,
      `  -H 'Content-Type: application/json' \\`,
      `  -d '{"name": "progress", "data": {"progress": 42, "status": "PROCESSING"}}'`,
    ].join('\n'),
    javascript: [
      `import { io } from 'socket.io-client';`,
      ``,
      `const socket = io('${origin}');`,
      ``,
      `socket.on('connect', () => {`,
      `  socket.emit('subscribe', 'hello');`,
      `});`,
      ``,
      `socket.on('progress', (event) => {`,
      `  console.log(event.progress, event._seq);`,
      `});`,
    ].join('\n'),
    python: [
      `import socketio`,
      ``,
      `client = socketio.Client()`,
      ``,
      `@client.on('connect')`,
      `def connected():`,
      `    client.emit('subscribe', 'hello')`,
      ``,
      `@client.on('progress')`,
      `def progress(event):`,
      `    print(event['progress'], event['_seq'])`,
      ``,
      `client.connect('${origin}')`,
      `client.wait()`,
    ].join('\n'),
  };
}
