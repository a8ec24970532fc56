// A connection for each request: `connect-load.ts URL CONNECTIONS SECONDS` prints latencies in µs as JSON.
import { connect } from 'node:net';

const [target = '', connections = '1', seconds = '1'] = process.argv.slice(2);
const { hostname, port, pathname } = new URL(target);
const REQUEST = `GET ${pathname} HTTP/1.1\r\nhost: ${hostname}\r\nconnection: close\r\n\r\n`;
const endMs = performance.now() + Number(seconds) * 1000;
const latencies: number[] = [];
let failed = 0;

function ask(): Promise<boolean> {
  return new Promise((resolve) => {
    let start = '';
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(REQUEST));
    socket.setTimeout(10_000, () => socket.destroy());
    socket.on('data', (data: Buffer) => {
      if (start.length < 12) start += data.toString('latin1', 0, 12);
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(start.startsWith('HTTP/1.1 200')));
  });
}

async function askOn(): Promise<void> {
  while (performance.now() < endMs) {
    const startMs = performance.now();
    if (await ask()) latencies.push((performance.now() - startMs) * 1000);
    else failed += 1;
  }
}

await Promise.all(Array.from({ length: Number(connections) }, askOn));
process.stdout.write(JSON.stringify({ latencies, failed }));
