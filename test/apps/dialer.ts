// Connects to where it is told to: POST to 9903 with `Call` as JSON answers `Outcomes` as JSON.
import { createServer, request as httpRequest } from 'node:http';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

type Call = {
  readonly kind: 'http' | 'tls' | 'tcp';
  readonly address: string;
  readonly port: number;
  readonly name?: string; // Host of HTTP, server name of TLS
  readonly count?: number; // one after the other, default 1
};

/** How often each thing happened: what was said, status and reason of the proxy, or `reset`. */
export type Outcomes = Readonly<Record<string, number>>;

const ANSWER_MS = 15_000;

function askHttp({ address, port, name }: Call): Promise<string> {
  return new Promise((resolve) => {
    const headers = name === undefined ? {} : { host: name };
    const sent = httpRequest({ host: address, port, headers, agent: false, timeout: ANSWER_MS }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      const reason = response.headers['l5d-proxy-error'];
      response.on('end', () => resolve(`${response.statusCode} ${reason === undefined ? body : String(reason)}`));
    });
    sent.on('timeout', () => sent.destroy(new Error('timeout')));
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    sent.end();
  });
}

function askBytes({ kind, address, port, name }: Call): Promise<string> {
  return new Promise((resolve) => {
    const servername = name === undefined ? {} : { servername: name };
    const socket: Socket =
      kind === 'tls'
        ? connectTls({ host: address, port, rejectUnauthorized: false, ...servername })
        : connectTcp(port, address);
    let said = '';
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
    socket.on('end', () => resolve(said === '' ? 'reset' : said));
    socket.on('error', () => resolve('reset'));
    socket.setTimeout(ANSWER_MS, () => {
      resolve('timeout');
      socket.destroy();
    });
  });
}

createServer((request, response) => {
  let body = '';
  request.on('data', (chunk: Buffer) => (body += chunk.toString()));
  request.on('end', async () => {
    const call = JSON.parse(body) as Call;
    const outcomes: Record<string, number> = {};
    for (let nth = 0; nth < (call.count ?? 1); nth += 1) {
      const outcome = call.kind === 'http' ? await askHttp(call) : await askBytes(call);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
    response.end(JSON.stringify(outcomes));
  });
}).listen(9903);
process.on('SIGTERM', () => process.exit(0));
