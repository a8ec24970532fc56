import { connect } from '../../cli/cluster.ts';
import { CLUSTER_FLAGS, optionalText, textFlag, UsageError, type Command } from '../../cli/command.ts';
import { kindWords } from '../../cli/workloads.ts';
import type { DurationJson, TapJson } from '../tap/event.ts';
import { streamTap, TAP_FLAGS, tapQuery } from './tap-stream.ts';

export const vizTap: Command = {
  path: ['viz', 'tap'],
  args: 'TYPE[/NAME]',
  words: kindWords().plain,
  summary: 'Show requests of a workload while they happen.',
  details: [
    'Needs the right to create taprequests.tap.tulle.dev in the namespace of the workload.',
    'Each request is shown where the proxies of the workload see it: in = received, out = sent.',
  ].join('\n'),
  flags: {
    ...CLUSTER_FLAGS,
    ...TAP_FLAGS,
    limit: { type: 'string', value: 'N', help: 'end after so many requests (default: Ctrl-C ends it)' },
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      default: 'table',
      choices: ['table', 'wide', 'json'],
      help: 'form of the result; headers are only in json',
    },
  },
  examples: [
    'tulle viz tap deploy/web -n shop',
    'tulle viz tap deploy/web -n shop --to svc/cart --method GET --path /items',
    'tulle viz tap ns/shop -o json --limit 10',
  ],
  run: async ({ flags, args, terminal }) => {
    const limit = optionalText(flags, 'limit') === undefined ? Infinity : Number(optionalText(flags, 'limit'));
    if (!(limit >= 1)) throw new UsageError('--limit: use a whole number from 1');
    const format = textFlag(flags, 'output');
    const cluster = await connect(flags);
    try {
      const query = tapQuery(flags, args, 'tulle viz tap deploy/web', cluster.defaultNamespace);
      const open = new Set<string>();
      let taken = 0;
      const onEvent = (event: TapJson): boolean => {
        const id = idOf(event);
        if (event.requestInitEvent !== undefined) {
          if (taken >= limit) return true;
          taken += 1;
          open.add(id);
        } else if (!open.has(id)) return true; // began before the tap, or is over the limit
        if (event.responseEndEvent !== undefined) open.delete(id);
        terminal.out(format === 'json' ? `${JSON.stringify(event, null, 2)}\n` : tapLine(event, format === 'wide'));
        return taken < limit || open.size > 0;
      };
      await streamTap(cluster, flags, { ...query, headers: format === 'json' }, onEvent, (note) =>
        terminal.err(`tulle: ${note}\n`),
      );
      return 0;
    } finally {
      cluster.close();
    }
  },
};

function idOf({ requestInitEvent, responseInitEvent, responseEndEvent }: TapJson): string {
  const id = (requestInitEvent ?? responseInitEvent ?? responseEndEvent)?.id;
  return `${id?.base ?? 0}:${id?.stream ?? 0}`;
}

/** Names of gRPC status codes. Source: grpc `doc/statuscodes.md`. */
const GRPC_CODES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

/** One line of `linkerd viz tap`. Source: linkerd2 `viz/cmd/tap.go`, `renderTapEvent`. */
export function tapLine(event: TapJson, isWide: boolean): string {
  const { source, destination, proxyDirection } = event;
  const isInbound = proxyDirection === 'INBOUND';
  const tls = (isInbound ? source : destination).metadata['tls'] ?? '';
  const common = [
    `id=${idOf(event)}`,
    `proxy=${isInbound ? 'in ' : 'out'}`,
    `src=${source.ip}:${source.port}`,
    `dst=${destination.ip}:${destination.port}`,
    `tls=${tls}`,
  ].join(' ');
  const labels = isWide
    ? [
        ...Object.entries(source.metadata).map(([name, value]) => ` src_${name}=${value}`),
        ...Object.entries(destination.metadata).map(([name, value]) => ` dst_${name}=${value}`),
        ...Object.entries(event.routeMeta ?? {}).map(([name, value]) => ` rt_${name}=${value}`),
      ].join('')
    : '';
  const { requestInitEvent: begin, responseInitEvent: response, responseEndEvent: end } = event;
  if (begin !== undefined)
    return `req ${common} :method=${begin.method} :authority=${begin.authority} :path=${begin.path}${labels}\n`;
  if (response !== undefined) {
    const why = response.headers.find(({ name }) => name === 'l5d-proxy-error')?.valueStr;
    const error = why === undefined ? '' : ` error=${JSON.stringify(why)}`;
    return `rsp ${common} :status=${response.httpStatus} latency=${micros(response.sinceRequestInit)}µs${error}${labels}\n`;
  }
  if (end === undefined) return `unknown ${common}${labels}\n`;
  const how =
    end.resetErrorCode !== undefined
      ? ` reset-error=${end.resetErrorCode}`
      : end.grpcStatusCode === undefined
        ? ''
        : ` grpc-status=${GRPC_CODES[end.grpcStatusCode] ?? end.grpcStatusCode}`;
  return `end ${common}${how} duration=${micros(end.sinceResponseInit)}µs response-length=${end.responseBytes}B${labels}\n`;
}

function micros({ seconds, nanos }: DurationJson): number {
  return Math.floor(seconds * 1e6 + nanos / 1000);
}
