import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openLog } from './log.ts';
import { LocalAgent } from './testing/local-agent.ts';
import { testPod } from './testing/stream-server.ts';

const now = Date.parse('2026-01-10T12:00:00Z');

function open(text: string): LocalAgent {
  const agent = new LocalAgent();
  openLog(agent, testPod, new URLSearchParams(text), now);
  return agent;
}

test('options of the query reach the node, the only container is the default', () => {
  const agent = open('follow=true&tailLines=0&sinceSeconds=5&timestamps=true&limitBytes=10');
  assert.deepEqual(agent.logCalls, [
    { follow: true, previous: false, timestamps: true, tailLines: 0, sinceSeconds: 5, limitBytes: 10 },
  ]);
  assert.deepEqual(open('follow=false&container=main').logCalls, [
    { follow: false, previous: false, timestamps: false },
  ]);
});

test('a time to begin at becomes seconds back, at least one', () => {
  assert.equal(open('sinceTime=2026-01-10T11:59:50Z').logCalls[0]?.sinceSeconds, 10);
  assert.equal(open('sinceTime=2026-01-10T12:30:00Z').logCalls[0]?.sinceSeconds, 1);
});

const refused: readonly [query: string, code: number, message: RegExp][] = [
  ['tailLines=-1', 422, /PodLogOptions "web" is invalid: tailLines: Invalid value: -1/],
  ['sinceSeconds=0', 422, /sinceSeconds: Invalid value: 0: must be greater than 0/],
  ['limitBytes=0&tailLines=-2', 422, /\[tailLines: .*, limitBytes: /],
  ['sinceSeconds=1&sinceTime=2026-01-10T11:00:00Z', 422, /at most one of/],
  ['tailLines=many', 400, /tailLines: "many" is not a whole number/],
  ['tailLines=99999999999999999999', 400, /not a whole number/],
  ['sinceTime=yesterday', 400, /RFC 3339/],
  ['container=other', 400, /container other is not valid for pod web/],
  ['previous=true', 400, /previous terminated container "main" in pod "web" not found/],
];

for (const [query, code, message] of refused) {
  test(`log options ${query} are refused with ${code}`, () => {
    assert.throws(() => open(query), { code, message });
  });
}
