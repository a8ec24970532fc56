/** A schedule that cannot be read; the message names the field and what is wrong with it. */
export class CronError extends Error {
  override readonly name = 'CronError';
}

/** When a CronJob is due: minutes in UTC that all five fields allow, or a fixed interval. */
export type Schedule =
  | { readonly kind: 'interval'; readonly everyMs: number }
  | {
      readonly kind: 'fields';
      readonly minutes: ReadonlySet<number>;
      readonly hours: ReadonlySet<number>;
      readonly days: ReadonlySet<number>; // of the month
      readonly months: ReadonlySet<number>;
      readonly weekdays: ReadonlySet<number>; // 0 is Sunday
      readonly isEitherDay: boolean; // both day fields are restricted: one of them is enough
    };

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const FORMS: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};
const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000 };

/**
 * Reads a schedule as Kubernetes does: five fields, `@hourly` and its kin, or `@every 1h30m`.
 * Source: robfig/cron `ParseStandard`.
 *
 * @throws CronError
 */
export function parseSchedule(text: string): Schedule {
  const every = /^@every ((?:\d+(?:\.\d+)?[hms])+)$/.exec(text.trim())?.[1];
  if (every !== undefined) {
    const parts = [...every.matchAll(/(\d+(?:\.\d+)?)([hms])/g)];
    const totalMs = parts.reduce((sum, [, amount, unit = 's']) => sum + Number(amount) * (UNIT_MS[unit] ?? 0), 0);
    return { kind: 'interval', everyMs: Math.max(1000, Math.floor(totalMs / 1000) * 1000) };
  }
  const fields = (FORMS[text.trim()] ?? text).trim().split(/\s+/);
  if (text.trim().startsWith('@') && fields.length !== 5) throw new CronError(`unrecognized descriptor: ${text}`);
  const [minute, hour, day, month, weekday] = fields;
  if (fields.length !== 5 || !minute || !hour || !day || !month || !weekday) {
    throw new CronError(`expected exactly 5 fields, found ${fields.length}: ${JSON.stringify(fields)}`);
  }
  const weekdays = parseField('day of week', weekday, 0, 7, WEEKDAYS);
  return {
    kind: 'fields',
    minutes: parseField('minute', minute, 0, 59),
    hours: parseField('hour', hour, 0, 23),
    days: parseField('day of month', day, 1, 31),
    months: parseField('month', month, 1, 12, ['', ...MONTHS]),
    weekdays: new Set([...weekdays].map((number) => number % 7)),
    isEitherDay: !isAny(day) && !isAny(weekday),
  };
}

/** A day field that restricts nothing; with a larger step it does. */
function isAny(field: string): boolean {
  return field.split(',').some((part) => /^[*?](?:\/0*1)?$/.test(part));
}

function parseField(name: string, text: string, min: number, max: number, names: readonly string[] = []): Set<number> {
  const numbers = new Set<number>();
  const number = (part: string): number => {
    const named = names.indexOf(part.toLowerCase());
    const value = named >= 0 && part !== '' ? named : /^\d+$/.test(part) ? Number(part) : Number.NaN;
    if (!(value >= min && value <= max)) throw new CronError(`${name}: "${part}" is not between ${min} and ${max}`);
    return value;
  };
  for (const part of text.split(',')) {
    const [range = '', step, ...rest] = part.split('/');
    if (rest.length > 0) throw new CronError(`${name}: too many slashes in "${part}"`);
    const by = step === undefined ? 1 : /^\d+$/.test(step) ? Number(step) : 0;
    if (by === 0) throw new CronError(`${name}: step of "${part}" must be a positive number`);
    const [from = '', to, ...more] = range === '*' || range === '?' ? [String(min), String(max)] : range.split('-');
    if (more.length > 0) throw new CronError(`${name}: too many hyphens in "${part}"`);
    const first = number(from);
    const last = to === undefined ? (step === undefined ? first : max) : number(to);
    if (first > last) throw new CronError(`${name}: the range "${range}" ends before it begins`);
    for (let value = first; value <= last; value += by) numbers.add(value);
  }
  return numbers;
}

/** Years to look ahead: the longest wait for a real date is for 29 February. */
const YEARS_MAX = 9;

/**
 * The first time after `afterMs` at which the schedule is due.
 *
 * @returns milliseconds since 1970; undefined for a date that never comes, such as 31 February
 */
export function nextTime(schedule: Schedule, afterMs: number): number | undefined {
  if (schedule.kind === 'interval') return Math.floor(afterMs / 1000) * 1000 + schedule.everyMs;
  const at = new Date(Math.floor(afterMs / 60_000) * 60_000 + 60_000);
  const lastYear = at.getUTCFullYear() + YEARS_MAX;
  while (at.getUTCFullYear() <= lastYear) {
    if (!schedule.months.has(at.getUTCMonth() + 1)) at.setTime(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 1));
    else if (!isDay(schedule, at)) at.setTime(Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate() + 1));
    else if (!schedule.hours.has(at.getUTCHours())) at.setTime((Math.floor(at.getTime() / 3_600_000) + 1) * 3_600_000);
    else if (!schedule.minutes.has(at.getUTCMinutes())) at.setTime(at.getTime() + 60_000);
    else return at.getTime();
  }
  return undefined;
}

function isDay(schedule: Extract<Schedule, { kind: 'fields' }>, at: Date): boolean {
  const isDate = schedule.days.has(at.getUTCDate());
  const isWeekday = schedule.weekdays.has(at.getUTCDay());
  return schedule.isEitherDay ? isDate || isWeekday : isDate && isWeekday;
}

/** Missed times looked at before giving up on an exact count, as the real controller does. */
const MISSED_MAX = 100;

/** The last time that was due in (afterMs, untilMs], and how many were (counted up to 101). */
export function lastDue(
  schedule: Schedule,
  afterMs: number,
  untilMs: number,
): { readonly dueMs: number | undefined; readonly missed: number } {
  let dueMs: number | undefined;
  let missed = 0;
  let next = nextTime(schedule, afterMs);
  while (next !== undefined && next <= untilMs) {
    dueMs = next;
    missed += 1;
    if (missed > MISSED_MAX) {
      // Far behind: skip to just before now, whatever lay between.
      const gapMs = (nextTime(schedule, next) ?? next) - next;
      const skipped = Math.max(next, untilMs - Math.max(gapMs * 2, 60_000));
      if (skipped === next || gapMs <= 0) break;
      return { dueMs: lastDue(schedule, skipped, untilMs).dueMs ?? dueMs, missed };
    }
    next = nextTime(schedule, next);
  }
  return { dueMs, missed };
}
