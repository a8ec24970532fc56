// Exchanges WebSocket messages with socket-server, text and binary in turn, prints what came of it as JSON, and ends.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { WebSocket } from 'ws';

const [url = '', messages = '1000'] = process.argv.slice(2);
const DEADLINE_MS = 60_000;

type Message = { readonly data: Buffer; readonly isBinary: boolean };

async function open(): Promise<{ socket: WebSocket; received: Message[] }> {
  const socket = new WebSocket(url, ['first', 'second']);
  const received: Message[] = [];
  socket.on('message', (data: Buffer, isBinary) => received.push({ data, isBinary }));
  await once(socket, 'open', { signal: AbortSignal.timeout(DEADLINE_MS) });
  while (received.length === 0) await once(socket, 'message', { signal: AbortSignal.timeout(DEADLINE_MS) });
  return { socket, received };
}

async function exchange(): Promise<unknown> {
  const { socket, received } = await open();
  const sent = Array.from({ length: Number(messages) }, (_, n): Message => {
    const size = (n * 37) % 5000;
    return n % 2 === 0
      ? { data: randomBytes(size), isBinary: true }
      : { data: Buffer.from(`${n} ${'ü'.repeat(size / 2)}`), isBinary: false };
  });
  for (const { data, isBinary } of sent) socket.send(data, { binary: isBinary });
  while (received.length < sent.length + 1) await once(socket, 'message', { signal: AbortSignal.timeout(DEADLINE_MS) });
  const [greeting, ...echoed] = received;
  const isEqual = (message: Message, n: number): boolean =>
    echoed[n]?.isBinary === message.isBinary && echoed[n].data.equals(message.data);
  socket.close(4001, 'client is done');
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
  return {
    greeting: greeting?.data.toString(),
    protocol: socket.protocol,
    equal: sent.filter(isEqual).length,
    close: `${code} ${reason.toString()}`,
  };
}

/** The server closes first. */
async function closedBy(code: number): Promise<string> {
  const { socket } = await open();
  socket.send(`close ${code}`);
  const [received, reason] = (await once(socket, 'close', { signal: AbortSignal.timeout(DEADLINE_MS) })) as [
    number,
    Buffer,
  ];
  return `${received} ${reason.toString()}`;
}

async function main(): Promise<void> {
  const exchanged = await exchange();
  process.stdout.write(`${JSON.stringify({ exchanged, closes: [await closedBy(1000), await closedBy(4999)] })}\n`);
}
void main();
