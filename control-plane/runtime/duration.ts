const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Text that is not a duration. The message names the text and the accepted form. */
export class DurationError extends Error {
  override readonly name = 'DurationError';
  constructor(text: string) {
    super(`"${text}" is not a duration: write digits and a unit, such as 300ms, 10s, 5m, 24h or 365d (or 0)`);
  }
}

/**
 * Milliseconds of a duration such as `10s`, `1h30m` or `0`.
 * Source: linkerd2-proxy `LINKERD2_PROXY_*` durations, and Go's `time.ParseDuration` for the combined form.
 *
 * @throws DurationError  when the text has another form or does not fit in 2^53 ms
 */
export function parseDurationMs(text: string): number {
  const trimmed = text.trim();
  if (trimmed === '0') return 0;
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(trimmed)) throw new DurationError(text);
  let totalMs = 0;
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    totalMs += Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS];
  }
  const rounded = Math.round(totalMs);
  if (!Number.isSafeInteger(rounded)) throw new DurationError(text);
  return rounded;
}

/**
 * Milliseconds of one integer with one unit, or of `0`: the form of Linkerd's annotations and request headers.
 *
 * @returns nothing for any other text
 */
export function parseSimpleDurationMs(text: string): number | undefined {
  return /^(?:0|\d{1,9}(?:ms|s|m|h|d))$/.test(text.trim()) ? parseDurationMs(text) : undefined;
}

/** Age as kubectl prints it (`45s`, `12m`, `3h20m`, `5d`). Source: apimachinery `duration.HumanDuration`. */
export function formatAge(ageMs: number): string {
  const seconds = Math.max(0, Math.floor(ageMs / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return years < 8 && days % 365 !== 0 ? `${years}y${days % 365}d` : `${years}y`;
}
