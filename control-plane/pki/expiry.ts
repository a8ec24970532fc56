/** When people are told that a certificate ends, in days before. */
const NOTICE_DAYS = [1, 7, 30];
const DAY_MS = 86_400_000;

/** Which of the notices before the end of a certificate, in days, is due; undefined long before it. */
export function noticeDays(notAfterMs: number, nowMs: number): number | undefined {
  return NOTICE_DAYS.find((days) => notAfterMs - nowMs <= days * DAY_MS);
}
