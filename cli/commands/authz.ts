import type { Client } from '#model/authorization.ts';
import { evaluateInbound, type InboundVerdict } from '#model/evaluate.ts';
import type { RequestHead } from '#model/match.ts';
import { routeGrants, type InboundServer } from '#model/inbound.ts';
import { identitySuffix } from '#config/names.ts';
import { parseAddress } from '#model/address.ts';
import { formatResourceRef, type ResourceRef } from '#model/resource-ref.ts';
import { PODS, type Pod } from '#k8s/resources/pod.ts';
import { selects } from '../../control-plane/dialects/label-selector.ts';
import { readServer } from '../../control-plane/dialects/linkerd-policy.ts';
import { listKind } from '../../control-plane/findings/reader.ts';
import { PolicyStore } from '../../control-plane/policy/policy-store.ts';
import { policyContextOf } from '../../injector/policy-webhook.ts';
import { connect } from '../cluster.ts';
import { CLUSTER_FLAGS, CommandError, optionalText, textFlag, UsageError, type Command } from '../command.ts';
import { describedRequest, isRequestDescribed, REQUEST_FLAGS } from '../diagnostics/described-request.ts';
import { describeClients, describeDecider } from '../diagnostics/describe.ts';
import { DestinationProcess } from '../diagnostics/destination-client.ts';
import { installedValues } from '../installed-values.ts';
import { formatTable } from '../table.ts';
import { podsOf } from '../workloads.ts';

const PORTS_MAX = 64; // of one pod
const ACCOUNT = /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/;

type PortPolicy = { readonly port: number; readonly server: InboundServer };

export const authz: Command = {
  path: ['authz'],
  args: 'TYPE/NAME',
  summary: 'Say who may talk to a workload, and which object lets them in.',
  details:
    'The running control plane is asked for the policy of each port: container ports, and ports that Servers name. With --as the\n' +
    'verdict about one client is printed instead, by the code with which the proxy decides: about a request that --method, --path,\n' +
    '--header and --authority describe, GET / if none of them is there, or about a connection where no requests are seen.',
  flags: {
    ...CLUSTER_FLAGS,
    namespace: { type: 'string', short: 'n', value: 'NS', isName: true, help: 'namespace of the workload' },
    as: { type: 'string', value: 'ACCOUNT[.NS]', help: 'service account of a client, or "unmeshed"' },
    address: { type: 'string', value: 'IP', help: 'with --as: where the client is (default: in a pod of the cluster)' },
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
    if (account !== undefined && !ACCOUNT.test(account))
      throw new UsageError(`--as is "${account}": write ACCOUNT.NAMESPACE or unmeshed`);
    if (address !== undefined && (account === undefined || parseAddress(address) === undefined))
      throw new UsageError(`--address is "${address}": give an IP address, beside --as`);
    if (account === undefined && isRequestDescribed(flags))
      throw new UsageError('a request is described and no client: name one with --as');
    describedRequest(flags, ''); // wrong flags are refused before anything is asked
    const cluster = await connect(flags);
    try {
      const namespace = optionalText(flags, 'namespace') ?? cluster.defaultNamespace;
      const { values } = await installedValues(cluster, textFlag(flags, 'tulle-namespace'));
      const pods = (await podsOf(cluster, namespace, target)).flatMap((object) => PODS.parse(object) ?? []);
      const pod = pods.find(({ isFinished }) => !isFinished);
      if (pod === undefined) throw new CommandError(`${target} in namespace ${namespace} has no pods`);
      if (pod.proxyInboundAddress === undefined)
        terminal.err(`${target} has no proxy: nothing of this is enforced (\`tulle check --proxy -n ${namespace}\`)\n`);
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
        portsOf(pod, named).map(async (port): Promise<PortPolicy> => ({
          port,
          server: await process.inbound(pod.namespace, pod.name, port),
        })),
      );
      const format = textFlag(flags, 'output');
      if (account === undefined)
        terminal.out(format === 'json' ? json(policies.flatMap(rowsOf)) : accessTable(policies, format === 'wide'));
      else {
        const client = clientOf(account, namespace, identitySuffix(values), address ?? pod.ips[0] ?? '10.0.0.1');
        const request = describedRequest(flags, `${target.split('/').at(-1) ?? ''}.${namespace}`);
        const verdicts = policies.map(({ port, server }) => ({ port, verdict: verdictOf(server, client, request) }));
        terminal.out(
          format === 'json'
            ? json(verdicts.map(({ port, verdict }) => ({ port, ...verdict })))
            : verdictTable(verdicts),
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

function clientOf(account: string, namespace: string, suffix: string, address: string): Client {
  if (account === 'unmeshed') return { address, tls: { kind: 'none' } };
  const [name = '', own = namespace] = account.split('.');
  return { address, tls: { kind: 'mesh', identity: `${name}.${own}.${suffix}` } };
}

/** Of a request, or of a connection where no requests are seen. */
function verdictOf(server: InboundServer, client: Client, request: RequestHead): InboundVerdict {
  return evaluateInbound(server, client, 'routes' in server.protocol ? request : undefined);
}

type Row = {
  readonly port: number;
  readonly route: string;
  readonly server: string;
  readonly authorizationPolicy: string;
  readonly serverAuthorization: string;
  readonly clients: string;
};

function rowsOf({ port, server }: PortPolicy): readonly Row[] {
  const grants = [
    ...routeGrants(server.protocol).map(({ route, authorization }) => ({
      route: formatResourceRef(route),
      one: authorization,
    })),
    ...server.authorizations.map((one) => ({ route: '*', one })),
  ];
  const common = { port, server: shortName(server.ref) };
  if (grants.length === 0)
    return [{ ...common, route: '*', authorizationPolicy: '', serverAuthorization: '', clients: 'nobody' }];
  return grants.map(({ route, one }) => {
    const isOlder = one.ref.type === 'resource' && one.ref.kind.toLowerCase() === 'serverauthorization';
    const name = shortName(one.ref);
    return {
      ...common,
      route,
      authorizationPolicy: isOlder ? '' : name,
      serverAuthorization: isOlder ? name : '',
      clients: describeClients(one),
    };
  });
}

function shortName(ref: ResourceRef): string {
  return ref.type === 'default' ? `default:${ref.name}` : ref.name;
}

function accessTable(policies: readonly PortPolicy[], isWide: boolean): string {
  const titles = [
    'ROUTE',
    'SERVER',
    'AUTHORIZATION_POLICY',
    'SERVER_AUTHORIZATION',
    ...(isWide ? ['PORT', 'CLIENTS'] : []),
  ];
  const rows = policies
    .flatMap(rowsOf)
    .map(({ port, route, server, authorizationPolicy, serverAuthorization, clients }) => [
      route,
      server,
      authorizationPolicy,
      serverAuthorization,
      ...(isWide ? [String(port), clients] : []),
    ]);
  const unique = [...new Map(rows.map((row) => [row.join('\0'), row])).values()];
  return unique.length === 0
    ? 'The pods have no container ports, and no Server names one.\n'
    : formatTable(
        titles.map((title) => ({ title })),
        unique,
      );
}

function verdictTable(verdicts: readonly { readonly port: number; readonly verdict: InboundVerdict }[]): string {
  const rows = verdicts.map(({ port, verdict }) => [
    String(port),
    verdict.isAllowed ? (verdict.isAudited ? 'allowed, audited' : 'allowed') : 'denied',
    describeDecider(verdict.decider),
    verdict.reason,
  ]);
  return formatTable(
    ['PORT', 'VERDICT', 'DECIDED BY', 'REASON'].map((title) => ({ title })),
    rows,
  );
}
