import { identitySuffix } from '#config/names.ts';
import { parseAddress } from '#model/address.ts';
import { PODS, type Pod } from '#k8s/resources/pod.ts';
import { selects } from '../../control-plane/dialects/label-selector.ts';
import { readServer } from '../../control-plane/dialects/linkerd-policy.ts';
import { listKind } from '../../control-plane/findings/reader.ts';
import { PolicyStore } from '../../control-plane/policy/policy-store.ts';
import { policyContextOf } from '../../injector/policy-webhook.ts';
import { connect, type Cluster } from '../cluster.ts';
import {
  CLUSTER_FLAGS,
  CommandError,
  optionalText,
  textFlag,
  UsageError,
  type Command,
  type Terminal,
} from '../command.ts';
import {
  accessRows,
  accessTable,
  limitTable,
  verdictOf,
  verdictTable,
  type PortPolicy,
} from '../diagnostics/access-tables.ts';
import { describeClient, describedClient, parseAccount, type Account } from '../diagnostics/described-client.ts';
import { describedRequest, isRequestDescribed, REQUEST_FLAGS } from '../diagnostics/described-request.ts';
import { DestinationProcess } from '../diagnostics/destination-client.ts';
import { whyNotEnforced } from '../diagnostics/enforcement.ts';
import { installedValues } from '../installed-values.ts';
import { kindWords, podsOf } from '../workloads.ts';

const PORTS_MAX = 64; // of one pod

export const authz: Command = {
  path: ['authz'],
  args: 'TYPE/NAME',
  words: kindWords().named,
  summary: 'Say who may talk to a workload, and which object lets them in.',
  details:
    'The running control plane is asked for the policy of each port: container ports, and ports that Servers name; who is let\n' +
    'in, and how many requests per second a HTTPLocalRateLimitPolicy leaves them. Where connections do not come to a proxy that is\n' +
    'everybody. A Server with routes has a line for each: "none" are requests that match none of them. -o wide prints identities\n' +
    'whole. With --as the\n' +
    'verdict about one client is printed instead, by the code with which the proxy decides: about a request that --method, --path,\n' +
    '--header and --authority describe, GET / if none of them is there, or about a connection where no requests are seen.',
  flags: {
    ...CLUSTER_FLAGS,
    namespace: { type: 'string', short: 'n', value: 'NS', isName: true, help: 'namespace of the workload' },
    as: {
      type: 'string',
      value: 'ACCOUNT[.NS]',
      words: ['unmeshed'],
      help: 'service account of a client (or its whole identity), or "unmeshed"',
    },
    address: {
      type: 'string',
      value: 'IP',
      help: 'with --as: where the client is (default: where a pod with the account is)',
    },
    ...REQUEST_FLAGS,
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      default: 'table',
      choices: ['table', 'wide', 'json'],
      help: 'output format',
    },
  },
  examples: [
    'tulle authz -n shop deploy/web',
    'tulle authz -n shop deploy/web -o wide',
    'tulle authz -n shop deploy/web --as cart.shop',
    'tulle authz -n shop deploy/web --as cart.shop --method POST --path /orders -H x-user:anna',
  ],
  run: async ({ flags, args, terminal }) => {
    const [target, extra] = args;
    if (target === undefined || extra !== undefined)
      throw new UsageError('name one workload as TYPE/NAME, for example deploy/web');
    const account = optionalText(flags, 'as');
    const address = optionalText(flags, 'address');
    if (address !== undefined && (account === undefined || parseAddress(address) === undefined))
      throw new UsageError(`--address is "${address}": give an IP address, beside --as`);
    if (account === undefined && isRequestDescribed(flags))
      throw new UsageError('a request is described and no client: name one with --as');
    describedRequest(flags, ''); // wrong flags are refused before anything is asked
    const cluster = await connect(flags);
    try {
      const namespace = optionalText(flags, 'namespace') ?? cluster.defaultNamespace;
      const { values } = await installedValues(cluster, textFlag(flags, 'tulle-namespace'));
      const suffix = identitySuffix(values);
      const asked = account === undefined ? undefined : parseAccount(account, namespace, suffix);
      const pods = (await podsOf(cluster, namespace, target)).flatMap((object) => PODS.parse(object) ?? []);
      const pod = pods.find(({ isFinished }) => !isFinished);
      if (pod === undefined) throw new CommandError(`${target} in namespace ${namespace} has no pods`);
      const kind = new PolicyStore().kinds.find((one) => one.kind === 'Server');
      const servers = kind === undefined ? [] : await listKind(cluster, kind, pod.namespace);
      const named = servers.flatMap((server) => {
        const policy = readServer(server, policyContextOf(values)).value;
        return policy !== undefined &&
          !policy.isExternal &&
          typeof policy.port === 'number' &&
          selects(policy.selector, pod.labels)
          ? [policy.port]
          : [];
      });
      using process = await DestinationProcess.connect(cluster, values);
      const policies = await Promise.all(
        portsOf(pod, named).map(async (port): Promise<PortPolicy> => {
          const notEnforced = whyNotEnforced(pod, port);
          const server = await process.inbound(pod.namespace, pod.name, port);
          return { port, server, ...(notEnforced !== undefined && { notEnforced }) };
        }),
      );
      for (const { port, notEnforced } of policies)
        if (notEnforced !== undefined) terminal.err(`${target}, port ${port}: no policy is enforced: ${notEnforced}\n`);
      const format = textFlag(flags, 'output');
      if (account === undefined) {
        const rows = policies.flatMap(accessRows);
        const shown = `${accessTable(rows, format === 'wide' ? '' : suffix)}${limitTable(policies)}`;
        terminal.out(format === 'json' ? json(rows) : shown);
      } else {
        const described = await describedClient(cluster, asked, suffix, address, pod);
        const { client, pod: from } = described;
        if (asked !== undefined && described.isAssumed) await warnOfUnknown(cluster, asked, terminal);
        const request = describedRequest(flags, `${target.split('/').at(-1) ?? ''}.${namespace}`);
        const verdicts = policies.map((policy) => verdictOf(policy, client, request));
        terminal.out(
          format === 'json'
            ? json(
                verdicts.map(({ port, isEnforced, verdict }) => ({
                  port,
                  isEnforced,
                  client: { ...client, pod: from },
                  ...verdict,
                })),
              )
            : `${describeClient(described)}\n${verdictTable(verdicts)}`,
        );
      }
      return 0;
    } finally {
      cluster.close();
    }
  },
};

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function portsOf(pod: Pod, named: readonly number[]): readonly number[] {
  const own = pod.ports.filter(({ name }) => !name.startsWith('linkerd-')).map(({ port }) => port);
  return [...new Set([...own, ...named])].toSorted((a, b) => a - b).slice(0, PORTS_MAX);
}

/** A mistyped account is denied like a stranger: it must not look like one. */
async function warnOfUnknown(cluster: Cluster, { name, namespace }: Account, terminal: Terminal): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}`;
  const isThere = await cluster.find(path).then(
    (found) => found !== undefined,
    () => true, // who may not look is told nothing
  );
  if (!isThere)
    terminal.err(`there is no service account "${name}" in namespace ${namespace}: nobody has this identity\n`);
}
