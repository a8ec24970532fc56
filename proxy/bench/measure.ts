import { readdirSync, readFileSync } from 'node:fs';

/** Memory of processes, MiB. */
export type Memory = { readonly rss: number; readonly pss: number; readonly uss: number };

/** CPU time that processes have used so far, µs: of all their threads, to the nanosecond (proc(5), schedstat). */
export function cpuMicros(pids: readonly number[]): number {
  let nanos = 0;
  for (const pid of pids)
    for (const task of readdirSync(`/proc/${pid}/task`))
      nanos += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ', 1)[0]);
  return nanos / 1000;
}

/** Resident, proportional and private memory, summed. */
export function memoryOf(pids: readonly number[]): Memory {
  const sum = { rss: 0, pss: 0, uss: 0 };
  for (const pid of pids) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const field = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? 0) / 1024;
    sum.rss += field('Rss');
    sum.pss += field('Pss');
    sum.uss += field('Private_Clean') + field('Private_Dirty');
  }
  return sum;
}

/** A process and its descendants. */
export function familyOf(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return [pid, ...(children === '' ? [] : children.split(' ').flatMap((child) => familyOf(Number(child))))];
}

/** The value below which the given part of the sorted values lies. */
export function quantile(sorted: ArrayLike<number>, part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;
}

export function median(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}
