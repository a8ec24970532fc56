import { randomBytes } from 'node:crypto';
import { request, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import type { Cluster } from '../../cli/cluster.ts';
import { CommandError, optionalText, UsageError, type Flags, type FlagValues } from '../../cli/command.ts';
import { METHODS } from '../../cli/diagnostics/described-request.ts';
import { kindOf, SERVICE_KIND, WORKLOAD_KINDS } from '../../cli/workloads.ts';
import { METRICS_API_PORT } from '../config.ts';
import type { TapJson } from '../tap/event.ts';
import type { TapBody } from '../tap/query.ts';
import { hashNonce, TAP_GROUP, TAP_PATH } from '../tap/rights.ts';
import { metricsApiPod, VIZ_FLAGS } from './client.ts';
import { PEER_WORDS, readTarget, refuseUnknown } from './target.ts';

/** What `tap` and `top` share. */
export const TAP_FLAGS = {
  namespace: VIZ_FLAGS.namespace,
  'viz-namespace': VIZ_FLAGS['viz-namespace'],
  to: {
    type: 'string',
    value: 'TYPE/NAME',
    words: PEER_WORDS.named,
    help: 'only requests that the workload sends there',
  },
  'to-namespace': {
    type: 'string',
    value: 'NS',
    isName: true,
    help: 'namespace of --to; alone: all that is sent there',
  },
  selector: { type: 'string', short: 'l', value: 'SELECTOR', help: 'only pods with these labels, as kubectl -l' },
  scheme: { type: 'string', value: 'SCHEME', words: ['http', 'https'], help: 'only this scheme, such as http' },
  method: { type: 'string', value: 'METHOD', words: METHODS, help: 'only this HTTP method' },
  authority: { type: 'string', value: 'HOST', help: 'only this authority, exactly' },
  path: { type: 'string', value: 'PREFIX', help: 'only paths that begin so' },
  'max-rps': { type: 'string', value: 'N', default: '100', help: 'at most so many requests per second, over all pods' },
} as const satisfies Flags;

/** @throws UsageError */
export function tapQuery(
  flags: FlagValues,
  args: readonly string[],
  example: string,
  defaultNamespace: string,
): TapQuestion {
  const { kind, name } = readTarget(args, example);
  const namespace =
    kind.name === 'namespace' && name !== undefined ? name : (optionalText(flags, 'namespace') ?? defaultNamespace);
  const maxRps = Number(optionalText(flags, 'max-rps'));
  if (!Number.isInteger(maxRps) || maxRps < 1 || maxRps > 10_000)
    throw new UsageError('--max-rps: use a whole number from 1 to 10000');
  const to = optionalText(flags, 'to');
  const texts = Object.fromEntries(
    (['selector', 'scheme', 'method', 'authority', 'path'] as const).flatMap((flag) => {
      const value = optionalText(flags, flag);
      return value === undefined ? [] : [[flag, value]];
    }),
  );
  const toNamespace = optionalText(flags, 'to-namespace') ?? (to === undefined ? undefined : namespace);
  return {
    namespace,
    kind: kind.name,
    ...(name === undefined ? {} : { name }),
    ...(to === undefined ? {} : { to: readPeer(to) }),
    ...(toNamespace === undefined ? {} : { toNamespace }),
    ...texts,
    maxRps,
  };
}

function readPeer(text: string): string {
  const [type = '', name = ''] = text.split('/', 2);
  if (name === '') throw new UsageError(`--to is "${text}": write TYPE/NAME, as in svc/cart`);
  return `${kindOf(type, [...WORKLOAD_KINDS, SERVICE_KIND]).name}/${name}`;
}

/** What a tap asks for; who may is shown apart. */
export type TapQuestion = Omit<TapBody, 'tapRequest' | 'nonce'>;

/** A tap that runs: JSON lines, until its connection is destroyed. */
export type OpenTap = { readonly lines: IncomingMessage; readonly connection: Duplex };

/**
 * Shows the API server that the caller may tap the namespace, then begins the tap.
 *
 * @throws CommandError  when the caller may not, or nothing can be tapped; with the reason
 */
export async function openTap(cluster: Cluster, flags: FlagValues, query: TapQuestion): Promise<OpenTap> {
  const { namespace, pod } = await metricsApiPod(cluster, flags);
  // A tap of what is sent to nothing would wait forever.
  const { kind, name, to, toNamespace } = query;
  await refuseUnknown(cluster, { kind: kindOf(kind), name }, query.namespace, { to, toNamespace });
  const nonce = randomBytes(32).toString('hex');
  const tapRequest = `tap-${randomBytes(8).toString('hex')}`;
  await cluster.request('POST', `${TAP_PATH}/namespaces/${encodeURIComponent(query.namespace)}/taprequests`, {
    apiVersion: `${TAP_GROUP}/v1alpha1`,
    kind: 'TapRequest',
    metadata: { name: tapRequest, namespace: query.namespace },
    spec: { nonceHash: hashNonce(nonce) },
  });
  const connection = await cluster.portForward(namespace, pod, METRICS_API_PORT);
  const body = JSON.stringify({ ...query, tapRequest, nonce } satisfies TapBody);
  try {
    const lines = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request(
        {
          createConnection: () => connection,
          method: 'POST',
          path: '/api/tap',
          host: 'localhost',
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        },
        (response) => {
          if (response.statusCode === 200) {
            resolve(response);
            return;
          }
          let text = '';
          response.on('data', (chunk: Buffer) => (text += chunk.toString()));
          response.on('end', () => reject(new CommandError(`tap refused: ${messageOf(text)}`)));
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
    return { lines, connection };
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

type Line = { readonly event?: TapJson; readonly note?: string };

/**
 * Reads the events of a tap until the stream or the reader ends.
 *
 * @param onEvent  returns false when it has seen enough
 * @param stop     ends the tap without an error
 * @throws CommandError  as `openTap` does, and when metrics-api goes away
 */
export async function streamTap(
  cluster: Cluster,
  flags: FlagValues,
  query: TapQuestion,
  onEvent: (event: TapJson) => boolean,
  onNote: (note: string) => void,
  stop: AbortSignal = new AbortController().signal,
): Promise<void> {
  const { lines: response, connection } = await openTap(cluster, flags, query);
  try {
    await new Promise<void>((resolve, reject) => {
      stop.addEventListener('abort', () => resolve(), { once: true });
      if (stop.aborted) resolve();
      const lines = createInterface({ input: response, crlfDelay: Infinity });
      lines.on('error', reject); // of the response: also after the end that was asked for
      lines.on('line', (line) => {
        const { event, note } = JSON.parse(line) as Line;
        if (note !== undefined) onNote(note);
        if (event !== undefined && !onEvent(event)) {
          lines.close();
          resolve();
        }
      });
      response.on('error', reject);
      response.on('end', () => reject(new CommandError('the tap ended: metrics-api closed the connection')));
    });
  } finally {
    connection.destroy();
  }
}

function messageOf(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text;
  } catch {
    return text.slice(0, 500);
  }
}
