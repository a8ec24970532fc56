// The shop's store: a line protocol over TCP (`GET key`, `SET key value`, `INCR key`), to show traffic that is not HTTP.
import { createServer, type Socket } from 'node:net';

const PORT = 7000;
const MAX_LINE = 4096;
const MAX_KEYS = 10_000;
const data = new Map<string, string>([
  ['item:1', 'tulle'],
  ['item:2', 'muslin'],
  ['item:3', 'organza'],
]);

function answer(line: string): string {
  const [verb = '', key = '', ...rest] = line.trim().split(' ');
  switch (verb.toUpperCase()) {
    case 'GET':
      return data.has(key) ? `VALUE ${data.get(key)}` : 'NONE';
    case 'SET':
      if (!data.has(key) && data.size >= MAX_KEYS) return 'ERROR full';
      data.set(key, rest.join(' '));
      return 'OK';
    case 'INCR': {
      const next = Number(data.get(key) ?? '0') + 1;
      data.set(key, String(next));
      return `VALUE ${next}`;
    }
    default:
      return `ERROR unknown command ${verb}`;
  }
}

function converse(socket: Socket): void {
  let pending = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    pending += chunk;
    for (let end = pending.indexOf('\n'); end !== -1; end = pending.indexOf('\n')) {
      socket.write(`${answer(pending.slice(0, end))}\n`);
      pending = pending.slice(end + 1);
    }
    if (pending.length > MAX_LINE) socket.destroy();
  });
  socket.on('error', () => socket.destroy());
}

const server = createServer({ noDelay: true }, converse).listen(PORT);
process.on('SIGTERM', () => {
  server.close();
  setTimeout(() => process.exit(0), 500);
});
