import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '#runtime/log.ts';
import { ManualClock } from '#runtime/clock.ts';
import { createIssuer, createTrustAnchor } from '#pki/issuer.ts';
import type { Notice } from '#k8s/deployment-event.ts';
import type { SigningState } from './authority.ts';
import { endings, ExpiryNotices } from './expiry.ts';
import { StoredObjects } from './stored-objects.ts';
import { startTestCluster } from '../../test/harness/api-server.ts';

const DAY = 86_400_000;
const START = Date.UTC(2026, 0, 1);

/** An issuer for 90 days under an anchor for a year. */
function stateOf(owner: SigningState['owner']): SigningState {
  const anchor = createTrustAnchor('a', { notBeforeMs: START, notAfterMs: START + 365 * DAY });
  const authority = createIssuer(anchor, 'a', { notBeforeMs: START, notAfterMs: START + 90 * DAY });
  const bundle = [anchor.certificate];
  return { issuer: { authority, chain: [] }, owner, bundle, ownAnchors: owner === 'us' ? bundle : [] };
}

test('what renews itself is nothing to be told of, unless that fails', () => {
  const state = stateOf('us');
  assert.deepEqual(endings(state, undefined), []);
  const failing = endings(state, 'no rights');
  assert.equal(failing.length, 2);
  assert.match(failing[0]?.remedy ?? '', /renewed by itself: no rights/);
  const another = createTrustAnchor('b', { notBeforeMs: START, notAfterMs: START + DAY }).certificate;
  const withAnother = endings({ ...state, bundle: [...state.bundle, another] }, undefined);
  assert.deepEqual(
    withAnother.map(({ certificate }) => certificate),
    [another],
    'an anchor that somebody added is theirs',
  );
});

test('people are told 30, 7 and 1 days before the end, each time once, whatever number of replicas there is', async () => {
  await using cluster = await startTestCluster();
  const objects = new StoredObjects(cluster.client, 'tulle');
  const state = stateOf('user');
  await objects.writeBundle(state.bundle, { value: undefined, text: '', annotations: {} });
  const clock = new ManualClock(START);
  const told: Notice[] = [];
  const log = createLogger('test', 'silent');
  const tell = (notice: Notice): void => void told.push(notice);
  const replicas = [1, 2, 3].map(
    () => new ExpiryNotices({ objects, clock, log, endings: () => endings(state, undefined), tell }),
  );
  const toldOn: number[] = [];
  for (let day = 0; day <= 90; day += 1) {
    const before = told.length;
    await Promise.all(replicas.map((replica) => replica.check()));
    await Promise.all(replicas.map((replica) => replica.check()));
    if (told.length > before) toldOn.push(day);
    assert.ok(told.length <= before + 1, `twice on day ${day}`);
    clock.advance(DAY);
  }
  assert.deepEqual(toldOn, [60, 83, 89]);
  assert.match(
    told[0]?.message ?? '',
    /^issuer "issuer .* of a" expires at 2026-04-01T00:00:00.000Z: put the next one into Secret linkerd-identity-issuer$/,
  );
  const { value, annotations } = await objects.readBundle();
  assert.equal(value?.length, 1, 'the anchors are still there');
  await objects.writeBundle(state.bundle, await objects.readBundle());
  assert.deepEqual((await objects.readBundle()).annotations, annotations, 'new anchors do not make us forget');
});
