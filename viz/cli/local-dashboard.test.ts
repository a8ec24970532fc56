import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { connect } from '../../cli/cluster.ts';
import { Folder, kubeconfig } from '../../cli/testing.ts';
import { LocalDashboard } from './local-dashboard.ts';

type Answer = { readonly status: number; readonly message: string };

/** `fetch` does not let a caller choose the Host header. */
function ask(port: number, method: string, path: string, headers: Record<string, string>, body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method, path, headers }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, message: (JSON.parse(text) as { message: string }).message });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

test('the local dashboard answers for its own names, taps only with the key, and says what is missing', async () => {
  using folder = new Folder();
  const file = folder.write('config', kubeconfig({ server: 'http://127.0.0.1:1' }));
  const cluster = await connect({ kubeconfig: file });
  using dashboard = new LocalDashboard({ cluster, flags: {}, key: 'secret' });
  const port = await dashboard.listen(0);
  const cases: readonly (readonly [string, string, Record<string, string>, string, number, RegExp])[] = [
    ['GET', '/', { host: 'evil.example' }, '', 421, /refused, against DNS rebinding: use localhost/],
    ['POST', '/tap', { host: 'evil.example', 'x-tulle-key': 'secret' }, '{}', 421, /refused/],
    ['POST', '/tap', {}, '{}', 403, /open the address that `tulle viz dashboard` printed/],
    ['POST', '/tap', { 'x-tulle-key': 'wrong!' }, '{}', 403, /open the address/],
    ['POST', '/tap', { 'x-tulle-key': 'secret' }, 'no', 400, /not JSON/],
    ['POST', '/tap', { 'x-tulle-key': 'secret' }, 'null', 400, /names no namespace/],
    ['POST', '/tap', { 'x-tulle-key': 'secret' }, '9'.repeat(9000), 413, /longer than 8192 bytes/],
    ['POST', '/tap', { 'x-tulle-key': 'secret' }, '{"namespace":"shop"}', 403, /cannot reach the Kubernetes API/],
    ['POST', '/api/tap', { 'x-tulle-key': 'secret' }, '{}', 405, /only GET, and POST \/tap/],
    ['GET', '/api/overview', {}, '', 502, /cannot reach the Kubernetes API at http:\/\/127\.0\.0\.1:1/],
  ];
  for (const [method, path, headers, body, status, message] of cases) {
    const answer = await ask(port, method, path, headers, body);
    assert.equal(answer.status, status, `${method} ${path} ${body.slice(0, 20)}: ${answer.message}`);
    assert.match(answer.message, message);
  }
  cluster.close();
});
