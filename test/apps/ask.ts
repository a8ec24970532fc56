// Asks an HTTP server and a TCP echo again and again, and prints what each said; holds one TCP connection and one tunnel (an upgrade
// of GET /public) from the start. With a third argument it also posts to that URL.
import { request } from 'node:http';
import { connect } from 'node:net';

const [url = '', echo = '', postUrl] = process.argv.slice(2);
const [host = '', port = ''] = echo.split(':');
const INTERVAL_MS = 250;

function askHttp(to: string, method: 'GET' | 'POST'): Promise<string> {
  return new Promise((resolve) => {
    const sent = request(to, { method, agent: false, timeout: 5_000 }, (response) => {
      response.resume();
      const reason = response.headers['l5d-proxy-error'];
      response.on('end', () => resolve(`${response.statusCode}${reason === undefined ? '' : ` ${String(reason)}`}`));
    });
    sent.on('timeout', () => sent.destroy(new Error('timeout')));
    sent.on('error', (error) => resolve(error.message));
    sent.end();
  });
}

function askTcp(): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(port), host, () => socket.write('hello\n'));
    socket.setTimeout(5_000, () => socket.destroy(new Error('timeout')));
    socket.on('data', (data) => {
      resolve(data.toString() === 'hello\n' ? 'echo' : 'garbage');
      socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.message === 'timeout' ? 'timeout' : 'closed'));
    socket.on('close', () => resolve('closed'));
  });
}

let held = 'connecting';
const kept = connect(Number(port), host, () => kept.write('held\n'));
kept.on('data', () => (held = 'open'));
kept.on('error', () => (held = 'cut'));
kept.on('close', () => (held = 'cut'));

let tunnel = 'connecting';
const upgrade = request(new URL('/public', url), { headers: { connection: 'upgrade', upgrade: 'echo' }, agent: false });
upgrade.on('upgrade', (_response, socket) => {
  tunnel = 'open';
  socket.on('error', () => (tunnel = 'cut'));
  socket.on('close', () => (tunnel = 'cut'));
  socket.resume();
});
upgrade.on('response', ({ statusCode }) => (tunnel = `refused with ${statusCode}`));
upgrade.on('error', ({ message }) => (tunnel = message));
upgrade.end();

async function round(): Promise<void> {
  const post = postUrl === undefined ? undefined : askHttp(postUrl, 'POST');
  const [http, tcp, posted] = await Promise.all([askHttp(url, 'GET'), askTcp(), post]);
  process.stdout.write(
    `${JSON.stringify({ http, tcp, held, tunnel, ...(posted !== undefined && { post: posted }) })}\n`,
  );
  setTimeout(() => void round(), INTERVAL_MS);
}
void round();
process.on('SIGTERM', () => process.exit(0));
