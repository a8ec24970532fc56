import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CronError, lastDue, nextTime, parseSchedule } from './cron.ts';

const at = (text: string): number => Date.parse(`${text}Z`);

test('the next time follows from the five fields', () => {
  const cases: readonly (readonly [schedule: string, after: string, next: string])[] = [
    ['* * * * *', '2026-03-01T10:00:00', '2026-03-01T10:01:00'],
    ['* * * * *', '2026-03-01T10:00:59.999', '2026-03-01T10:01:00'],
    ['*/15 * * * *', '2026-03-01T10:46:00', '2026-03-01T11:00:00'],
    ['5/20 * * * *', '2026-03-01T10:00:00', '2026-03-01T10:05:00'],
    ['0 0 * * *', '2026-12-31T00:00:00', '2027-01-01T00:00:00'],
    ['30 4 1,15 * *', '2026-03-02T00:00:00', '2026-03-15T04:30:00'],
    ['0 12 * * mon-fri', '2026-03-06T12:00:00', '2026-03-09T12:00:00'],
    ['0 0 * * 7', '2026-03-02T00:00:00', '2026-03-08T00:00:00'],
    ['0 0 13 * 5', '2026-03-01T00:00:00', '2026-03-06T00:00:00'],
    ['0 0 */2 * 5', '2026-03-01T00:00:00', '2026-03-03T00:00:00'],
    ['0 0 29 2 *', '2026-03-01T00:00:00', '2028-02-29T00:00:00'],
    ['0 9 ? FEB,apr *', '2026-03-01T00:00:00', '2026-04-01T09:00:00'],
    ['@hourly', '2026-03-01T10:20:00', '2026-03-01T11:00:00'],
    ['@daily', '2026-03-01T10:20:00', '2026-03-02T00:00:00'],
    ['@weekly', '2026-03-02T10:20:00', '2026-03-08T00:00:00'],
    ['@monthly', '2026-03-02T10:20:00', '2026-04-01T00:00:00'],
    ['@yearly', '2026-03-02T10:20:00', '2027-01-01T00:00:00'],
    ['@every 1m30s', '2026-03-01T10:00:00', '2026-03-01T10:01:30'],
  ];
  for (const [schedule, after, next] of cases) {
    assert.equal(nextTime(parseSchedule(schedule), at(after)), at(next), `${schedule} after ${after}`);
  }
});

test('a date that never comes has no next time', () => {
  assert.equal(nextTime(parseSchedule('0 0 31 2 *'), at('2026-01-01T00:00:00')), undefined);
});

test('what is no schedule is refused with the field that is wrong', () => {
  const cases: readonly (readonly [schedule: string, message: RegExp])[] = [
    ['', /exactly 5 fields/],
    ['* * * *', /exactly 5 fields, found 4/],
    ['* * * * * *', /found 6/],
    ['60 * * * *', /minute: "60" is not between 0 and 59/],
    ['* 24 * * *', /hour/],
    ['* * 0 * *', /day of month/],
    ['* * * 13 *', /month/],
    ['* * * * 8', /day of week/],
    ['*/0 * * * *', /step/],
    ['5-1 * * * *', /ends before it begins/],
    ['1-2-3 * * * *', /hyphens/],
    ['x * * * *', /minute: "x"/],
    ['1,,2 * * * *', /minute: ""/],
    ['@sometimes', /unrecognized descriptor/],
  ];
  for (const [schedule, message] of cases) {
    assert.throws(
      () => parseSchedule(schedule),
      (error: unknown) => error instanceof CronError && message.test(error.message),
      schedule,
    );
  }
});

test('of several missed times the last one counts, however many there were', () => {
  const schedule = parseSchedule('*/10 * * * *');
  const few = lastDue(schedule, at('2026-03-01T10:00:00'), at('2026-03-01T10:35:00'));
  assert.deepEqual(few, { dueMs: at('2026-03-01T10:30:00'), missed: 3 });
  const none = lastDue(schedule, at('2026-03-01T10:00:00'), at('2026-03-01T10:05:00'));
  assert.deepEqual(none, { dueMs: undefined, missed: 0 });
  const many = lastDue(schedule, at('2020-03-01T10:00:00'), at('2026-03-01T10:35:00'));
  assert.deepEqual(many, { dueMs: at('2026-03-01T10:30:00'), missed: 101 });
});
