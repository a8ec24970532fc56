import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';

import { LogFile } from './log-file.ts';
import { readLog, tailText } from './log-reader.ts';

const directory = mkdtempSync(join(tmpdir(), 'tulle-log-'));
after(() => rmSync(directory, { recursive: true }));
const ALL = { follow: false, previous: false, timestamps: false };
let count = 0;

function newLog(segmentBytesMax?: number, now?: () => Date): LogFile {
  count += 1;
  return new LogFile(join(directory, `${count}.log`), segmentBytesMax, now);
}

test('chunks become lines, whatever their borders', async () => {
  const log = newLog();
  for (const chunk of ['on', 'e\ntw', 'o\n\nthr', 'ee']) log.write('stdout', Buffer.from(chunk));
  assert.equal(await text(readLog(log, ALL)), 'one\ntwo\n\n');
  log.finish();
  assert.equal(await text(readLog(log, ALL)), 'one\ntwo\n\nthree\n');
});

test('a very long line comes out as it went in', async () => {
  const log = newLog();
  const line = 'x'.repeat(100_000);
  log.write('stdout', Buffer.from(`${line}\nshort\n`));
  assert.equal(await text(readLog(log, ALL)), `${line}\nshort\n`);
});

test('the files stay below their bound and keep the newest lines', async () => {
  const log = newLog(10_000);
  for (let line = 0; line < 5000; line += 1) log.write('stdout', Buffer.from(`line ${line}\n`));
  const path = join(directory, `${count}.log`);
  assert.ok(statSync(path).size <= 10_000 && statSync(`${path}.1`).size <= 10_000);
  const lines = (await text(readLog(log, ALL))).trim().split('\n');
  assert.equal(lines.at(-1), 'line 4999');
  assert.equal(lines[0], `line ${5000 - lines.length}`);
  assert.equal(await text(readLog(log, { ...ALL, tailLines: 300 })), `${lines.slice(-300).join('\n')}\n`);
  log.remove();
  assert.equal(existsSync(path) || existsSync(`${path}.1`), false);
});

test('a follower sees lines of the other segment, and ends with the log', async () => {
  const log = newLog(2000);
  log.write('stdout', Buffer.from('first\n'));
  const following = text(readLog(log, { ...ALL, follow: true }));
  for (let line = 0; line < 50; line += 1) {
    log.write('stderr', Buffer.from(`line ${line}\n`));
    await new Promise(setImmediate);
  }
  log.finish();
  const lines = (await following).trim().split('\n');
  assert.equal(lines.length, 51);
  assert.equal(lines.at(-1), 'line 49');
});

test('a follower that goes away is forgotten', async () => {
  const log = newLog();
  const stream = readLog(log, { ...ALL, follow: true });
  stream.resume();
  await new Promise(setImmediate);
  stream.destroy();
  await new Promise((resolve) => stream.once('close', resolve));
  log.write('stdout', Buffer.from('nobody hears this\n'));
  log.remove();
});

test('sinceSeconds leaves out older lines', async () => {
  let nowMs = Date.parse('2026-01-01T00:00:00Z');
  const log = newLog(undefined, () => new Date(nowMs));
  log.write('stdout', Buffer.from('old\n'));
  nowMs += 60_000;
  log.write('stdout', Buffer.from('new\n'));
  assert.equal(await text(readLog(log, { ...ALL, sinceSeconds: 30 }, () => new Date(nowMs))), 'new\n');
});

test('the tail for termination messages is bounded by lines and bytes', () => {
  const log = newLog();
  log.write('stderr', Buffer.from('a\nb\nc\n'));
  assert.equal(tailText(log, 2, 100), 'b\nc\n');
  assert.equal(tailText(log, 2, 2), 'c\n');
});
