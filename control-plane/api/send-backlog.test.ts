import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SendBacklog } from './send-backlog.ts';

function fixture() {
  let nowMs = 0;
  const backlog = new SendBacklog({ bytesMax: 100, takeTimeoutMs: 1_000, now: () => nowMs });
  const send = (peer: string, bytes: number): Disposable => {
    const message = {};
    backlog.encoded(message, bytes);
    return backlog.add(peer, message);
  };
  return { backlog, send, at: (ms: number) => void (nowMs = ms) };
}

test('for a client no more may wait than is free, and one for which nothing waits has room', () => {
  const { backlog, send } = fixture();
  send('greedy', 40);
  assert.ok(backlog.hasRoom('greedy'));
  const last = send('greedy', 20);
  assert.deepEqual([backlog.bytes, backlog.hasRoom('greedy'), backlog.hasRoom('other')], [60, false, true]);
  last[Symbol.dispose]();
  last[Symbol.dispose](); // once counts
  assert.deepEqual([backlog.bytes, backlog.hasRoom('greedy')], [40, true]);
});

test('who waits for room is woken once, in order, while there is some', () => {
  const { backlog, send } = fixture();
  const first = send('greedy', 60);
  const woken: string[] = [];
  const wait = (peer: string, name: string): Disposable =>
    backlog.onRoom(peer, () => {
      woken.push(name);
      send(peer, 60);
    });
  wait('greedy', 'one');
  wait('greedy', 'two');
  const gone = wait('greedy', 'gone');
  gone[Symbol.dispose]();
  const second = send('other', 10);
  second[Symbol.dispose]();
  assert.deepEqual(woken, [], 'what became free is not enough');
  first[Symbol.dispose]();
  assert.deepEqual([woken, backlog.bytes], [['one'], 60]);
});

test('who has not taken a message in time is named, and nobody else', () => {
  const { backlog, send, at } = fixture();
  send('stuck', 1);
  const taken = send('quick', 1);
  at(500);
  send('later', 1);
  taken[Symbol.dispose]();
  at(999);
  assert.deepEqual([...backlog.overdue], []);
  at(1_000);
  assert.deepEqual([...backlog.overdue], ['stuck']);
});
