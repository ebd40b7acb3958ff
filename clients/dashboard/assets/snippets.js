/** What a newcomer copies: publish an event, and receive it, in the languages people use. */

/**
 * @param {{origin: string, topic?: string, name?: string, data?: unknown, needsCredential?: boolean}} about
 */
export function snippets({ origin, topic = 'session:hello', name = 'progress', data, needsCredential = false }) {
  const payload = data === undefined ? { progress: 42, status: 'PROCESSING' } : data;
  const body = JSON.stringify({ name, data: payload });
  const wanted = topic.startsWith('session:') ? topic.slice('session:'.length) : topic;
  const isSession = topic.startsWith('session:');
  const auth = needsCredential;
  const all = {
    curl: [
      `curl ${origin}/v1/topics/${topic}/events \\`,
      auth && `  -H "Authorization: Bearer $TOKEN" \\`,
      `  -H 'Content-Type: application/json' \\`,
      `  -d '${body.replaceAll("'", `'\\''`)}'`,
    ],
    follow: [`curl -N ${origin}/v1/topics/${topic}/events \\`, auth && `  -H "Authorization: Bearer $TOKEN" \\`, `  -H 'Accept: text/event-stream'`],
    javascript: [
      `import { io } from 'socket.io-client';`,
      ``,
      auth ? `const socket = io('${origin}', { auth: { token } });` : `const socket = io('${origin}');`,
      ``,
      `socket.on('connect', () => {`,
      `  socket.emit('subscribe', '${wanted}');`,
      `});`,
      ``,
      `socket.on('${name}', (event) => {`,
      `  console.log(event, event._seq);`,
      `});`,
    ],
    react: isSession
      ? [
          `import { connect } from 'tidings-client';`,
          `import { TidingsProvider, useSession } from 'tidings-client/react';`,
          ``,
          `const tidings = connect('${origin}'${auth ? ', { token }' : ''});`,
          ``,
          `function Progress() {`,
          `  const { progress, modelResults, clarifications, isCompleted } =`,
          `    useSession('${wanted}');`,
          `  return (`,
          `    <section>`,
          `      <progress max={100} value={progress?.progress ?? 0} />`,
          `      <p>{modelResults.length} results, {clarifications.length} questions</p>`,
          `      {isCompleted && <p>All done.</p>}`,
          `    </section>`,
          `  );`,
          `}`,
          ``,
          `export default () => (`,
          `  <TidingsProvider client={tidings}><Progress /></TidingsProvider>`,
          `);`,
        ]
      : [
          `import { useJob } from 'tidings-client/react';`,
          ``,
          `function Progress() {`,
          `  const { status, progress, isCompleted } = useJob('${topic.slice(topic.indexOf(':') + 1)}');`,
          `  return <progress max={100} value={isCompleted ? 100 : (progress ?? 0)} title={status} />;`,
          `}`,
        ],
    python: [
      `import socketio`,
      ``,
      `client = socketio.Client()`,
      ``,
      `@client.on('connect')`,
      `def connected():`,
      `    client.emit('subscribe', '${wanted}')`,
      ``,
      `@client.on('${name}')`,
      `def received(event):`,
      `    print(event, event['_seq'])`,
      ``,
      auth ? `client.connect('${origin}', auth={'token': token})` : `client.connect('${origin}')`,
      `client.wait()`,
    ],
  };
  const joined = Object.entries(all).map(([language, lines]) => [language, lines.filter((line) => line !== false).join('\n')]);
  return Object.fromEntries(joined);
}
