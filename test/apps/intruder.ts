// Connects to a meshed pod by TLS as a proxy would: with a certificate of another trust anchor, and with none.
import { connect, type ConnectionOptions } from 'node:tls';
import { createTestAuthority, tlsOptions } from '#pki/testing.ts';

const [host = '', identity = ''] = process.argv.slice(2);
const TIMEOUT_MS = 10_000;

/** @returns what the server made of it: `refused`, or status and identity as the application saw them */
function attempt(port: number, options: ConnectionOptions): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(
      { host, port, servername: identity, rejectUnauthorized: false, minVersion: 'TLSv1.3', ...options },
      () => socket.write('GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n'),
    );
    const finish = (): void => {
      socket.destroy();
      const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1];
      resolve(status === undefined ? 'refused' : `${status} ${/x-seen-client-id: (\S+)/i.exec(text)?.[1] ?? ''}`);
    };
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.on('error', finish);
    socket.on('close', finish);
    socket.setTimeout(TIMEOUT_MS, finish);
  });
}

async function main(): Promise<void> {
  const foreign = tlsOptions(createTestAuthority().leaf('default.town.serviceaccount.identity.tulle.cluster.local'));
  process.stdout.write(`foreign certificate: ${await attempt(8080, foreign)}\n`);
  process.stdout.write(
    `foreign certificate on the mesh port: ${await attempt(4143, { ...foreign, ALPNProtocols: ['transport.l5d.io/v1'] })}\n`,
  );
  process.stdout.write(`no certificate: ${await attempt(8080, {})}\n`);
}
void main();
