import { TOPICS } from './changes.ts';
import type { Result } from './measurement.ts';

/** Milliseconds from a change to its arrival at 99 of 100 streams. */
export const BUDGET_P99_MS = 1_000;

/** What is over the budget, in words; empty: nothing. */
export function problemsOf({ latency }: Result): readonly string[] {
  const { all, lost } = latency;
  return [
    ...(all.p99 <= BUDGET_P99_MS ? [] : [`p99 is ${ms(all.p99)}, the budget is ${ms(BUDGET_P99_MS)}`]),
    ...(lost === 0 ? [] : [`${lost} changes did not arrive at a stream that watches them`]),
  ];
}

/** Figures per stream, per 1,000 endpoints and per change, which hold for clusters of other sizes. */
export function ratiosOf({ size, streams, memory, cpu }: Result) {
  const perStream = (memory.streaming.rss - memory.filled.rss) / streams;
  const thousands = size.endpoints / 1000;
  return {
    kibPerStream: perStream * 1024,
    heapKibPerStream: ((memory.streaming.heap - memory.filled.heap) * 1024) / streams,
    mibPerThousandEndpoints: (memory.filled.rss - memory.empty.rss) / thousands,
    heapMibPerThousandEndpoints: (memory.filled.heap - memory.empty.heap) / thousands,
    cpuMsPerStreamOpened: cpu.open / streams,
    cpuMsPerThousandEndpoints: cpu.fill / thousands,
    cpuMsPerChange: cpu.changes / cpu.changeCount,
  };
}

export function formatText(result: Result): string {
  const { size, latency, memory } = result;
  const ratios = ratiosOf(result);
  const row = (name: string, { count, p50, p99, max }: Result['latency']['all']): string =>
    `  ${name.padEnd(11)}${String(count).padStart(8)}${ms(p50).padStart(11)}${ms(p99).padStart(11)}${ms(max).padStart(11)}`;
  const use = (name: string, { rss, heap, external }: Result['memory']['empty']): string =>
    `  ${name.padEnd(30)}${mib(rss).padStart(10)}${mib(heap).padStart(12)}${mib(external).padStart(12)}`;
  return [
    `${size.services} Services, ${size.endpoints} endpoints, ${size.namespaces} namespaces; ` +
      `${result.proxies} proxies with ${result.streams} streams; ${result.rate.toFixed(0)} changes a second`,
    '',
    'From the write of a change to its arrival at a stream:',
    `  ${'change of'.padEnd(11)}${'news'.padStart(8)}${'p50'.padStart(11)}${'p99'.padStart(11)}${'max'.padStart(11)}`,
    ...TOPICS.map((topic) => row(topic, latency[topic])),
    row('all', latency.all),
    '',
    'Memory of the destination process:',
    `  ${''.padEnd(30)}${'resident'.padStart(10)}${'heap'.padStart(12)}${'external'.padStart(12)}`,
    use('empty cluster', memory.empty),
    use('filled cluster', memory.filled),
    use('with the streams', memory.streaming),
    use('after the changes', memory.after),
    `  ${'most, garbage included'.padEnd(30)}${mib(memory.peakRss).padStart(10)}`,
    '',
    `Cold start: ${ms(result.coldStartMs)} (${ms(result.cpu.coldStart)} of CPU time)`,
    `Per stream: ${ratios.kibPerStream.toFixed(1)} KiB (${ratios.heapKibPerStream.toFixed(1)} of heap), ` +
      `${ms(ratios.cpuMsPerStreamOpened)} of CPU time to open`,
    `Per 1,000 endpoints: ${mib(ratios.mibPerThousandEndpoints)} (${mib(ratios.heapMibPerThousandEndpoints)} of heap), ` +
      `${ms(ratios.cpuMsPerThousandEndpoints)} of CPU time to take in`,
    `Event loop during the changes: what was due came at most ${ms(result.loopDelay.max)} late, ${ms(result.loopDelay.p99)} at p99`,
    `Per change: ${ms(ratios.cpuMsPerChange)} of CPU time`,
    ...problemsOf(result).map((problem) => `over budget: ${problem}`),
    '',
  ].join('\n');
}

export function formatJson(result: Result): string {
  return `${JSON.stringify({ ...result, ratios: ratiosOf(result), problems: problemsOf(result) }, null, 2)}\n`;
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}

function mib(value: number): string {
  return `${value.toFixed(1)} MiB`;
}
