import assert from 'node:assert/strict';
import { test } from 'node:test';
import { selectEndpoints, type Selection } from './endpoint-selection.ts';
import { parsed, sliceObject } from './testing.ts';

/** Addresses that are chosen of these endpoints of slices. */
function chosen(endpoints: readonly Readonly<Record<string, unknown>>[], selection: Partial<Selection> = {}) {
  const slice = parsed.slice(sliceObject('x', 'web', [], endpoints));
  const all = slice.endpoints.flatMap((endpoint) => endpoint.addresses.map((address) => ({ endpoint, address })));
  return selectEndpoints(all, { isLocalOnly: false, ...selection }).map(({ address }) => address);
}

const hints = (nodes: readonly string[], zones: readonly string[]) => ({
  hints: { forNodes: nodes.map((name) => ({ name })), forZones: zones.map((name) => ({ name })) },
});

test('hints for the node come before those for its zone, and both only when every endpoint has some', () => {
  const a = { addresses: ['10.0.0.1'], ...hints(['n-1'], ['z-1']) };
  const b = { addresses: ['10.0.0.2'], ...hints(['n-2'], ['z-1']) };
  const c = { addresses: ['10.0.0.3'], ...hints(['n-3'], ['z-2']) };
  const all = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
  assert.deepEqual(chosen([a, b, c], { nodeName: 'n-1', zone: 'z-1' }), ['10.0.0.1']);
  assert.deepEqual(chosen([a, b, c], { nodeName: 'n-9', zone: 'z-1' }), ['10.0.0.1', '10.0.0.2'], 'none for the node');
  assert.deepEqual(chosen([a, b, c], { nodeName: 'n-9', zone: 'z-9' }), all, 'none for the zone either');
  assert.deepEqual(chosen([a, b, c]), all, 'nobody knows where the client is');
  const fresh = { addresses: ['10.0.0.4'], ...hints([], ['z-1']) };
  assert.deepEqual(chosen([a, b, c, fresh], { nodeName: 'n-1', zone: 'z-2' }), ['10.0.0.3'], 'one has none for nodes');
});

test('traffic that is kept on a node stays there, whatever hints say, and falls back to what terminates there', () => {
  const here = { addresses: ['10.0.0.1'], nodeName: 'n-1', ...hints(['n-2'], ['z-2']) };
  const there = { addresses: ['10.0.0.2'], nodeName: 'n-2', ...hints(['n-1'], ['z-1']) };
  const local = { isLocalOnly: true, nodeName: 'n-1', zone: 'z-1' };
  assert.deepEqual(chosen([here, there], local), ['10.0.0.1']);
  const ending = { ...here, conditions: { ready: false, serving: true, terminating: true } };
  assert.deepEqual(chosen([ending, there], local), ['10.0.0.1']);
  assert.deepEqual(chosen([ending, there], { ...local, isLocalOnly: false }), ['10.0.0.2']);
});

test('families: IPv4 for each target that has it; addresses that stand for nothing are taken together', () => {
  const target = (name: string, kind = 'Pod') => ({ targetRef: { kind, namespace: 'shop', name } });
  const endpoints = [
    { addresses: ['fd00::1'], ...target('a') },
    { addresses: ['10.0.0.1'], ...target('a') },
    { addresses: ['fd00::2'], ...target('b') },
    { addresses: ['fd00::3'], ...target('a', 'ExternalWorkload') },
    { addresses: ['10.0.0.9'] },
    { addresses: ['fd00::9'] },
  ];
  assert.deepEqual(chosen(endpoints), ['10.0.0.1', 'fd00::2', 'fd00::3', '10.0.0.9']);
  assert.deepEqual(chosen(endpoints.slice(5)), ['fd00::9']);
});
