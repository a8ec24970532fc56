import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fastify } from 'fastify';
import { podOf } from '../metrics-api/pods.ts';
import { claimRight, hashNonce, TapRefused, type TapRequestClient, type TapRequestObject } from './rights.ts';
import { registerTap, type TapApi } from './route.ts';

const NOW = Date.parse('2026-01-01T00:00:30Z');
const claim = { namespace: 'shop', name: 'tap-1', nonce: 'secret' };

/** A cluster that holds one TapRequest, `shop/tap-1`. */
class Requests implements TapRequestClient {
  object: TapRequestObject | undefined = {
    metadata: { uid: 'u1', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { nonceHash: hashNonce('secret') },
  };
  get = async (namespace: string, name: string): Promise<TapRequestObject> => {
    if (this.object === undefined || `${namespace}/${name}` !== 'shop/tap-1') throw new Error('not found');
    return this.object;
  };
  delete = async (_namespace: string, _name: string, uid: string): Promise<void> => {
    if (this.object?.metadata?.uid !== uid) throw new Error('not found');
    this.object = undefined;
  };
}

test('a right is good once, within a minute, for its namespace, for who knows the nonce', async () => {
  const requests = new Requests();
  await assert.rejects(claimRight(requests, { ...claim, nonce: 'guess' }, NOW), /made by somebody else/);
  await assert.rejects(
    claimRight(requests, { ...claim, namespace: 'bank' }, NOW),
    /right to create taprequests\.tap\.tulle\.dev in namespace bank/,
  );
  await assert.rejects(claimRight(requests, claim, NOW + 60_000), /older than 60 s/);
  await claimRight(requests, claim, NOW);
  await assert.rejects(claimRight(requests, claim, NOW), TapRefused);
});

test('the API refuses a tap without the right, and says why a tap would be empty', async () => {
  const pod = (labels: Record<string, string>): ReturnType<typeof podOf> =>
    podOf(
      { metadata: { name: 'web-1', namespace: 'shop', labels }, status: { phase: 'Running', podIP: '10.0.0.1' } },
      'tulle',
    );
  const requests = new Requests();
  let pods = [pod({})];
  const api: TapApi = {
    requests,
    pods: () => pods,
    identity: () => ({ key: '', cert: '', ca: '' }),
    identityOf: () => '',
    now: () => NOW,
  };
  const server = fastify();
  registerTap(server, api);
  const body = { namespace: 'shop', tapRequest: 'tap-1', nonce: 'secret', kind: 'pod' };
  const ask = async (change: object = {}): Promise<readonly [number, string]> => {
    const answer = await server.inject({ method: 'POST', url: '/api/tap', payload: { ...body, ...change } });
    return [answer.statusCode, answer.json<{ message: string }>().message];
  };
  const cases: readonly (readonly [object, number, RegExp])[] = [
    [{ nonce: 'x' }, 403, /made by somebody else/],
    [{ maxRps: 0 }, 400, /maxRps/],
    [{}, 404, /pod in namespace shop has no proxy: mesh it first/],
    [{ name: 'other' }, 404, /there is no running pod\/other in namespace shop/],
  ];
  for (const [change, code, message] of cases) {
    requests.object = new Requests().object;
    const [actual, text] = await ask(change);
    assert.equal(actual, code, text);
    assert.match(text, message);
  }
  pods = [pod({ 'linkerd.io/control-plane-ns': 'tulle' })];
  requests.object = new Requests().object;
  assert.match((await ask())[1], /restart the workload/);
  await server.close();
});
