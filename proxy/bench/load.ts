import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { grpcMessageFile } from './backend.ts';
import { quantile } from './measure.ts';
import type { Pair, Ports } from './pair.ts';
import type { Place } from './place.ts';

/** One way to use a pair. */
export type Load = {
  readonly name: string;
  readonly help: string;
  readonly port: keyof Ports;
  readonly path: string; // /s, /10k or /1m; of gRPC the method
  readonly connections: number;
  readonly streams?: number; // of HTTP/2, at once on each connection
  readonly rate?: number; // requests a second in all; absent: as fast as answers come
  /** A connection for each request, counted instead of requests. */
  readonly isConnectionPerRequest?: boolean;
};

export const LOADS: readonly Load[] = [
  { name: 'small', help: 'HTTP/1.1, 64 connections, 24 bytes', port: 'http', path: '/s', connections: 64 },
  { name: 'one', help: 'HTTP/1.1, one connection', port: 'http', path: '/s', connections: 1 },
  { name: '10k', help: 'HTTP/1.1, 64 connections, 10 KiB', port: 'http', path: '/10k', connections: 64 },
  { name: '1m', help: 'HTTP/1.1, 8 connections, 1 MiB', port: 'http', path: '/1m', connections: 8 },
  { name: 'rate-500', help: 'HTTP/1.1, 500 requests/s', port: 'http', path: '/s', connections: 20, rate: 500 },
  { name: 'rate-2000', help: 'HTTP/1.1, 2,000 requests/s', port: 'http', path: '/s', connections: 20, rate: 2_000 },
  {
    name: 'h2',
    help: 'HTTP/2 as gRPC uses it, 8 connections of 16 streams',
    port: 'http2',
    path: '/s',
    connections: 8,
    streams: 16,
  },
  { name: 'h2-one', help: 'HTTP/2, one connection, one stream', port: 'http2', path: '/s', connections: 1, streams: 1 },
  {
    name: 'grpc',
    help: 'gRPC calls with trailers, 8 connections of 16 streams, 24 bytes each way',
    port: 'grpc',
    path: '/bench.Echo/Call',
    connections: 8,
    streams: 16,
  },
  { name: 'tcp', help: 'bytes of an opaque port, 8 connections, 1 MiB', port: 'opaque', path: '/1m', connections: 8 },
  {
    name: 'connect',
    help: 'new mTLS connections of an opaque port, 16 at once',
    port: 'opaque',
    path: '/s',
    connections: 16,
    isConnectionPerRequest: true,
  },
];

export type Sample = {
  readonly requests: number; // answered with 200
  readonly failed: number;
  readonly perSecond: number;
  readonly p50: number; // µs
  readonly p99: number;
  readonly p999: number;
};

/**
 * Sends a load through a pair for some time.
 *
 * @throws Error  when the load generator could not work
 */
export async function run(pair: Pair, load: Load, seconds: number): Promise<Sample> {
  const { place } = pair;
  const port = pair.ports[load.port];
  if (port === undefined) throw new Error(`${pair.name} has no port for ${load.name}`);
  const url = `http://${pair.host}:${port}${load.path}`;
  return load.isConnectionPerRequest === true
    ? connectAgain(place, url, load.connections, seconds)
    : h2load(place, url, load, seconds);
}

async function h2load(place: Place, url: string, load: Load, seconds: number): Promise<Sample> {
  const log = join(place.folder, 'requests.tsv');
  rmSync(log, { force: true });
  const { rate, connections, streams = 1, port } = load;
  const command = [
    'h2load',
    ...(port === 'http2' || port === 'grpc' ? [] : ['--h1']),
    ...(port === 'grpc'
      ? [`--data=${grpcMessageFile(place)}`, '--header=content-type: application/grpc', '--header=te: trailers']
      : []),
    `--clients=${connections}`,
    `--max-concurrent-streams=${streams}`,
    `--duration=${seconds}`,
    '--header=x-request-id: 5f2c1d1e-6a0b-4b1f-9a3e-0d2f6c7b8a90',
    ...(rate === undefined ? [] : [`--rps=${rate / connections}`]),
    `--log-file=${log}`,
    url,
  ];
  await output(place, command);
  return summary(readFileSync(log, 'utf8'), seconds);
}

/** Lines of h2load's log: start (µs), status (-1: failed), time to the end of the response (µs). */
export function summary(log: string, seconds: number): Sample {
  const latencies: number[] = [];
  let failed = 0;
  for (const line of log.split('\n')) {
    if (line === '') continue;
    const [, status, micros] = line.split('\t');
    if (status === '200') latencies.push(Number(micros));
    else failed += 1;
  }
  return sampleOf(Float64Array.from(latencies), failed, seconds);
}

function sampleOf(latencies: Float64Array, failed: number, seconds: number): Sample {
  latencies.sort();
  const at = (part: number): number => quantile(latencies, part);
  const { length: requests } = latencies;
  return { requests, failed, perSecond: requests / seconds, p50: at(0.5), p99: at(0.99), p999: at(0.999) };
}

/** Own, since h2load keeps its connections: a process that connects, asks once and waits for the end. */
async function connectAgain(place: Place, url: string, connections: number, seconds: number): Promise<Sample> {
  const main = join(import.meta.dirname, 'connect-load.ts');
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', main];
  const said = await output(place, [...node, url, String(connections), String(seconds)]);
  const { latencies, failed } = JSON.parse(said) as { latencies: number[]; failed: number };
  return sampleOf(Float64Array.from(latencies), failed, seconds);
}

function output(place: Place, command: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = place.run(place.client, 'load', command, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    let complaints = '';
    child.stdout?.on('data', (data: Buffer) => {
      said += data.toString();
    });
    child.stderr?.on('data', (data: Buffer) => {
      complaints += data.toString();
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(said);
      else reject(new Error(`${command[0]} ended with ${code}: ${complaints}${said.slice(-500)}`));
    });
  });
}
