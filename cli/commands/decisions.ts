import { DurationError, parseDurationMs } from '#runtime/duration.ts';
import { nearest } from '#runtime/nearest.ts';
import { PROXY_ERROR_STATUS } from '../../proxy/errors.ts';
import { connect } from '../cluster.ts';
import { CLUSTER_FLAGS, CommandError, optionalText, textFlag, UsageError, type Command } from '../command.ts';
import { adminPort, askPod } from '../pod-http.ts';
import { formatTable } from '../table.ts';
import { kindWords, podsOf } from '../workloads.ts';

/** A mistyped one would be taken for good news: there is nothing of it on record. */
const CODES = [...Object.keys(PROXY_ERROR_STATUS), 'injected', 'unknown'];
const LIMIT_MAX = 1_000;

/** One record of a proxy, as its page `/decisions` has it, with the pod. */
type Decision = {
  readonly pod: string;
  readonly time: string;
  readonly direction: 'inbound' | 'outbound';
  readonly client: string;
  readonly identity?: string;
  readonly target: string;
  readonly method?: string;
  readonly authority?: string;
  readonly path?: string;
  readonly decidedBy: readonly string[];
  readonly code: string;
  readonly status?: number;
  readonly reason: string;
  readonly attempts: readonly { readonly endpoint: string; readonly outcome: string }[];
};

export const decisions: Command = {
  path: ['diagnostics', 'decisions'],
  args: 'TYPE/NAME',
  words: kindWords().named,
  summary: 'Show why proxies of a workload failed or denied requests and connections.',
  details: [
    'Each proxy keeps its last 1000 failures and denials, with the objects that decided and the endpoints that were tried.',
    'They hold no header fields, no bodies and no query strings, and are lost when the pod ends.',
  ].join('\n'),
  flags: {
    ...CLUSTER_FLAGS,
    namespace: { type: 'string', short: 'n', value: 'NS', isName: true, help: 'namespace of the workload' },
    code: {
      type: 'string',
      value: 'CODE',
      words: CODES,
      help: 'only failures of this kind, such as unauthorized or no-endpoint',
    },
    since: { type: 'string', value: 'DURATION', help: 'only later ones, such as 10m' },
    limit: { type: 'string', value: 'N', default: '100', help: `the last ones of each pod, at most ${LIMIT_MAX}` },
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      default: 'table',
      choices: ['table', 'json'],
      help: 'form of the result; json has one object in each line, with everything that is known',
    },
  },
  examples: [
    'tulle diagnostics decisions -n shop deploy/web',
    'tulle dg decisions -n shop deploy/web --code unauthorized --since 10m',
    'tulle dg decisions -n shop pod/web-6c9d7f5b8-x2lq7 -o json --limit 1',
  ],
  run: async ({ flags, args, terminal }) => {
    const [target] = args;
    if (target === undefined || args.length > 1)
      throw new UsageError('name one workload as TYPE/NAME, for example deploy/web');
    const query = queryOf(optionalText(flags, 'code'), optionalText(flags, 'since'), textFlag(flags, 'limit'));
    const cluster = await connect(flags);
    try {
      const namespace = optionalText(flags, 'namespace') ?? cluster.defaultNamespace;
      const found: Decision[] = [];
      let proxies = 0;
      for (const pod of await podsOf(cluster, namespace, target)) {
        const port = adminPort(pod);
        if (port === undefined) continue;
        proxies += 1;
        const { name } = pod.metadata;
        const where = { namespace, pod: name, port, path: `/decisions?${query}` };
        const { status, body } = await askPod(cluster, where);
        if (status === 404)
          throw new CommandError(`the proxy of ${namespace}/${name} keeps no record`, 'restart the pod: it is older');
        if (status !== 200) throw new CommandError(`${namespace}/${name}: ${body.slice(0, 500).trim()}`);
        found.push(...readLines(name, body));
      }
      if (proxies === 0)
        throw new CommandError(
          `${target} in namespace ${namespace} has no pod with a proxy: is it meshed (\`tulle check --proxy -n ${namespace}\`)?`,
        );
      found.sort((a, b) => a.time.localeCompare(b.time));
      if (textFlag(flags, 'output') === 'json') {
        for (const decision of found) terminal.out(`${JSON.stringify(decision)}\n`);
      } else if (found.length > 0) terminal.out(decisionTable(found));
      else terminal.err('no failure or denial on record\n');
      return 0;
    } finally {
      cluster.close();
    }
  },
};

/** @throws UsageError */
function queryOf(code: string | undefined, since: string | undefined, limit: string): string {
  const query = new URLSearchParams();
  if (code !== undefined) {
    if (!CODES.includes(code)) {
      const guess = nearest(code, CODES);
      throw new UsageError(
        `--code is "${code}"${guess === undefined ? `: use one of ${CODES.join(', ')}` : `, which is no code: did you mean ${guess}?`}`,
      );
    }
    query.set('code', code);
  }
  if (since !== undefined) {
    try {
      parseDurationMs(since);
    } catch (error) {
      if (error instanceof DurationError) throw new UsageError(`--since: ${error.message}`);
      throw error;
    }
    query.set('since', since);
  }
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > LIMIT_MAX)
    throw new UsageError(`--limit is "${limit}": use a whole number from 1 to ${LIMIT_MAX}`);
  query.set('limit', limit);
  return query.toString();
}

/** @throws CommandError  when it is no record of decisions */
function readLines(pod: string, body: string): readonly Decision[] {
  const lines = body.split('\n').filter((line) => line !== '');
  try {
    return lines.map((line) => ({ pod, ...(JSON.parse(line) as Omit<Decision, 'pod'>) }));
  } catch {
    throw new CommandError(`pod ${pod}: /decisions answered with something else than records`);
  }
}

const COLUMNS = ['TIME', 'POD', 'SIDE', 'CLIENT', 'REQUEST', 'CODE', 'STATUS', 'REASON'].map((title) => ({ title }));

/** One line for each decision; attempts follow the reason. */
export function decisionTable(list: readonly Decision[]): string {
  const rows = list.map((one) => [
    one.time,
    one.pod,
    one.direction === 'inbound' ? 'in' : 'out',
    one.identity === undefined ? one.client : shortIdentity(one.identity),
    one.method === undefined ? one.target : `${one.method} ${one.authority ?? one.target}${one.path ?? ''}`,
    one.code,
    one.status === undefined ? '-' : String(one.status),
    reasonOf(one),
  ]);
  return formatTable(COLUMNS, rows);
}

/** `account.namespace` of a workload's name. */
function shortIdentity(identity: string): string {
  return identity.replace(/\.serviceaccount\.identity\..*$/, '');
}

function reasonOf({ reason, decidedBy, attempts }: Decision): string {
  const by = decidedBy.filter((name) => !reason.includes(name));
  const decided = by.length === 0 ? '' : ` [${by.join(', ')}]`;
  const tried = attempts.map(({ endpoint, outcome }) => `${endpoint} ${outcome}`).join('; ');
  return `${reason}${decided}${tried === '' ? '' : ` (tried ${tried})`}`;
}
