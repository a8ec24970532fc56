import { readdirSync, readFileSync } from 'node:fs';
import type { Exposition } from './exposition.ts';

/** Metrics of the process itself, read when they are asked for. Names are linkerd2-proxy's. */
export function addProcessMetrics(exposition: Exposition, version: string): void {
  const startSeconds = Date.now() / 1000 - process.uptime();
  const gauge = (name: string, help: string, read: () => number): void =>
    exposition.addReading({ name, help, type: 'gauge' }, read);
  const counter = (name: string, help: string, read: () => number): void =>
    exposition.addReading({ name, help, type: 'counter' }, read);
  gauge('process_start_time_seconds', 'When the process started.', () => startSeconds);
  counter('process_uptime_seconds_total', 'How long the process has run.', () => process.uptime());
  counter('process_cpu_seconds_total', 'CPU time of the process.', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss());
  gauge('process_virtual_memory_bytes', 'Virtual memory.', () => statusKilobytes('VmSize') * 1024);
  gauge('process_open_fds', 'Open file descriptors.', openDescriptors);
  gauge('process_max_fds', 'Limit of open file descriptors.', descriptorLimit);
  const build = [[{ version, vendor: 'tulle' }, 1]] as const;
  exposition.addReading({ name: 'proxy_build_info', help: 'Version of the proxy.', type: 'gauge' }, () => build);
}

function statusKilobytes(field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readProc('status'))?.[1] ?? 0);
}

function descriptorLimit(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readProc('limits'))?.[1] ?? 0);
}

function openDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return 0; // not Linux, or no descriptor left to read with
  }
}

function readProc(file: string): string {
  try {
    return readFileSync(`/proc/self/${file}`, 'utf8');
  } catch {
    return '';
  }
}
