import type { Golden } from '../metrics-api/golden.ts';

/** A cell of what was perhaps not seen. */
export function orDash(value: number | undefined, format: (value: number) => string): string {
  return value === undefined ? '-' : format(value);
}

export function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(2)}%`;
}

export function rate(perSecond: number): string {
  return `${perSecond.toFixed(1)}rps`;
}

/** The columns LATENCY_P50, LATENCY_P95 and LATENCY_P99. */
export function latencyCells({ latencyMs }: Golden): readonly string[] {
  return [latencyMs?.p50, latencyMs?.p95, latencyMs?.p99].map((value) => orDash(value, (ms) => `${Math.round(ms)}ms`));
}

/** The same in JSON, with Linkerd's keys. */
export function latencyFields({ latencyMs }: Golden): Record<string, number | null> {
  const whole = (ms: number | undefined): number | null => (ms === undefined ? null : Math.round(ms));
  return {
    latency_ms_p50: whole(latencyMs?.p50),
    latency_ms_p95: whole(latencyMs?.p95),
    latency_ms_p99: whole(latencyMs?.p99),
  };
}
