// Fetches every kind of response over raw sockets and prints, for each, a digest of what arrived: run once with and once
// without the mesh, the outputs must be equal. Then ends.
import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { request } from 'node:http';

const [host = '', scale = '1'] = process.argv.slice(2);
const MIB = 1024 * 1024;
const BIG = Math.round(Number(scale) * MIB);
/** Headers that belong to one connection, or to the moment. */
const IGNORED = /^(date|connection|keep-alive|proxy-connection|l5d-[a-z-]+):/i;

/** Sends text and reads until the server closes. */
function exchange(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(8080, host, () => socket.write(text));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => resolve(digest(Buffer.concat(chunks).toString('latin1'))));
    socket.on('error', reject);
    socket.setTimeout(20_000, () => socket.destroy(new Error('timeout')));
  });
}

/** Heads without the ignored headers, and a hash of everything else, so that framing counts too. Names of fields have no case. */
function digest(raw: string): string {
  const lines = raw
    .split('\r\n')
    .filter((line) => !IGNORED.test(line))
    .map((line) => line.replace(/^[A-Za-z-]+:/, (name) => name.toLowerCase()));
  const heads = lines.filter((line) => /^HTTP\/1|^[a-z-]+: /i.test(line) && line.length < 200);
  return `${heads.join(' | ')} # ${createHash('sha256')
    .update(dechunk(lines.join('\r\n')))
    .digest('hex')
    .slice(0, 16)}`;
}

/** The payload of the first message; chunk sizes may differ, the bytes may not. */
function dechunk(raw: string): Buffer {
  const end = raw.indexOf('\r\n\r\n');
  const body = raw.slice(end + 4);
  if (!/transfer-encoding: chunked/i.test(raw.slice(0, end))) return Buffer.from(body, 'latin1');
  const parts: string[] = [];
  let at = 0;
  for (;;) {
    const line = body.indexOf('\r\n', at);
    const size = Number.parseInt(body.slice(at, line), 16);
    if (!(size > 0)) return Buffer.from(`${parts.join('')}|${body.slice(line + 2)}`, 'latin1');
    parts.push(body.slice(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
}

function download(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ host, port: 8080, path, timeout: 60_000 }, (response) => {
      const hash = createHash('sha256');
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        length += chunk.length;
      });
      response.on('end', () =>
        resolve(`${response.statusCode} ${length} ${hash.digest('hex')} ${JSON.stringify(response.trailers)}`),
      );
      response.on('error', reject);
    })
      .on('error', reject)
      .end();
  });
}

/** Uploads bytes of a seed and returns what the server counted. */
function upload(path: string, length: number, isChunked: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host,
        port: 8080,
        path,
        method: 'POST',
        timeout: 60_000,
        headers: isChunked ? {} : { 'content-length': length },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve(`${response.statusCode} ${text.trim()}`));
      },
    );
    sent.on('error', reject);
    const block = Buffer.from(Array.from({ length: 65_536 }, (_, index) => (index * 7) & 0xff));
    let left = length;
    const pump = (): void => {
      while (left > 0) {
        const part = block.subarray(0, Math.min(block.length, left));
        left -= part.length;
        if (!sent.write(part)) {
          sent.once('drain', pump);
          return;
        }
      }
      sent.end();
    };
    pump();
  });
}

/** Random bytes in random pieces against an echo; the client half-closes and the rest must still come back. */
function echo(length: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const data = randomBytes(length);
    const back: Buffer[] = [];
    const socket = connect({ port: 9000, host, allowHalfOpen: true }, () => {
      let at = 0;
      const pump = (): void => {
        while (at < data.length) {
          const size = 1 + Math.floor(Math.random() * 30_000);
          const isRoom = socket.write(data.subarray(at, at + size));
          at += size;
          if (!isRoom) {
            socket.once('drain', pump);
            return;
          }
        }
        socket.end();
      };
      pump();
    });
    socket.on('data', (chunk: Buffer) => back.push(chunk));
    socket.on('end', () =>
      resolve(Buffer.concat(back).equals(data) ? `echo of ${length} is exact` : `echo of ${length} DIFFERS`),
    );
    socket.on('error', reject);
    socket.setTimeout(60_000, () => socket.destroy(new Error('timeout')));
  });
}

const close = 'Connection: close\r\n';
const get = (path: string, extra = '', method = 'GET'): string =>
  `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${extra}\r\n`;
const CASES: readonly (readonly [string, () => Promise<string>])[] = [
  ['content-length', () => exchange(get('/sized/1000', close))],
  ['content-length 0', () => exchange(get('/sized/0', close))],
  ['chunked with trailer', () => exchange(get('/chunked/200000', close))],
  ['head', () => exchange(get('/sized/1000', close, 'HEAD'))],
  ['204', () => exchange(get('/status/204', close))],
  ['304', () => exchange(get('/status/304', close))],
  ['404 without body', () => exchange(get('/status/404', close))],
  ['HTTP/1.0', () => exchange(`GET /sized/500 HTTP/1.0\r\nHost: ${host}\r\n\r\n`)],
  [
    'pipelining',
    () => exchange(get('/sized/10') + get('/chunked/5000') + get('/status/204') + get('/sized/20', close)),
  ],
  ['keep-alive, then close', () => exchange(get('/sized/1', 'Connection: keep-alive\r\n') + get('/sized/2', close))],
  [
    'upload, content-length',
    () => exchange(`POST /upload HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 5\r\n${close}\r\nhello`),
  ],
  [
    'upload, chunked',
    () =>
      exchange(
        `POST /upload HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n${close}\r\n5\r\nhello\r\n0\r\n\r\n`,
      ),
  ],
  [
    'expect: 100-continue',
    () =>
      exchange(
        `POST /upload HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n${close}\r\nhello`,
      ),
  ],
  ['big download', () => download(`/sized/${BIG}`)],
  ['big chunked download', () => download(`/chunked/${BIG}`)],
  ['big upload', () => upload('/upload', BIG, false)],
  ['big chunked upload', () => upload('/upload', BIG, true)],
  ['echo', () => echo(Math.min(BIG, 20 * MIB))],
  ['echo of nothing', () => echo(0)],
];

async function main(): Promise<void> {
  for (const [name, run] of CASES) {
    const result = await run().catch(
      (error: unknown) => `FAILED ${error instanceof Error ? error.message : String(error)}`,
    );
    process.stdout.write(`${name}: ${result.replaceAll(host, 'HOST')}\n`);
  }
}
void main();
