import { parseAddress } from '#model/address.ts';
import { parseHostPort, parseServiceName, type ServiceTarget } from '#model/service-target.ts';
import { formatSocketAddress } from '#model/address.ts';
import { decidesRoutes } from '#model/profile.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import type { ResourceKind } from '#k8s/resource-index.ts';
import { ENDPOINT_SLICES } from '#k8s/resources/endpoint-slice.ts';
import { PODS } from '#k8s/resources/pod.ts';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import { connect, type Cluster } from '../cluster.ts';
import {
  CLUSTER_FLAGS,
  CommandError,
  optionalText,
  textFlag,
  UsageError,
  type Command,
  type Invocation,
} from '../command.ts';
import { DestinationProcess, type Asker } from '../diagnostics/destination-client.ts';
import { whyNotEnforced } from '../diagnostics/enforcement.ts';
import { idleWorkloads } from '../diagnostics/idle-workloads.ts';
import { missingPort, whyNoEndpoints, type Asked } from '../diagnostics/no-endpoints.ts';
import { inboundTables, outboundTables, profileRoutesTable } from '../diagnostics/policy-tables.ts';
import { installedValues } from '../installed-values.ts';
import { formatTable } from '../table.ts';
import { kindWords, podsOf, SERVICE_KIND, WORKLOAD_KINDS } from '../workloads.ts';

const FLAGS = {
  ...CLUSTER_FLAGS,
  namespace: {
    type: 'string',
    short: 'n',
    value: 'NS',
    isName: true,
    help: 'namespace of the resource, and of who asks',
  },
  token: {
    type: 'string',
    value: 'NS:POD',
    help: 'ask as this pod would, with its consumer routes and zone (default: NS:diagnostics)',
  },
  output: {
    type: 'string',
    short: 'o',
    value: 'FORMAT',
    default: 'table',
    choices: ['table', 'json'],
    help: 'output format',
  },
} as const;

/** What an answer is printed as. */
type Printed = {
  readonly table: string;
  readonly json: unknown;
  readonly notes?: readonly string[]; // what it does not hold, and why
  readonly problems?: readonly string[]; // what could not be answered beside it
};

type Question = {
  readonly cluster: Cluster;
  readonly process: DestinationProcess;
  readonly namespace: string;
  readonly clusterDomain: string;
  readonly asker: Asker;
};

/**
 * Asks the running control plane, and prints the answer.
 *
 * @returns the exit code
 */
async function ask(
  { flags, terminal }: Pick<Invocation, 'flags' | 'terminal'>,
  question: (with_: Question) => Promise<Printed>,
): Promise<number> {
  const cluster = await connect(flags);
  try {
    const namespace = optionalText(flags, 'namespace') ?? cluster.defaultNamespace;
    const asker = askerOf(optionalText(flags, 'token') ?? `${namespace}:diagnostics`);
    const { values } = await installedValues(cluster, textFlag(flags, 'tulle-namespace'));
    using process = await DestinationProcess.connect(cluster, values);
    const asked = { cluster, process, namespace, clusterDomain: values.clusterDomain, asker };
    const { table, json, notes = [], problems = [] } = await question(asked);
    terminal.out(flags['output'] === 'json' ? `${JSON.stringify(json, undefined, 2)}\n` : table);
    for (const note of notes) terminal.err(`${note}\n`);
    for (const problem of problems) terminal.err(`tulle: ${problem}\n`);
    return problems.length === 0 ? 0 : 1;
  } finally {
    cluster.close();
  }
}

function askerOf(text: string): Asker {
  const [namespace = '', pod = '', ...more] = text.split(':');
  if (namespace === '' || pod === '' || more.length > 0)
    throw new UsageError(`--token is "${text}": write NAMESPACE:POD`);
  return { namespace, pod };
}

function hasPort(authority: string): boolean {
  return parseHostPort(authority) !== undefined && /:\d+$/.test(authority);
}

function noAuthority(text: string): UsageError {
  return new UsageError(`"${text}" is not an authority: write NAME:PORT, as in web.shop.svc.cluster.local:8080`);
}

function portOf(text: string | undefined): number {
  const port = /^\d{1,5}$/.test(text ?? '') ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new UsageError(`"${text ?? ''}" is not a port: write a number from 1 to 65535`);
  return port;
}

export const diagnosticsPolicy: Command = {
  path: ['diagnostics', 'policy'],
  args: 'TYPE/NAME|IP PORT',
  words: kindWords([...WORKLOAD_KINDS, SERVICE_KIND]).named,
  summary:
    'Print the policy that the control plane gives to proxies: of a port of a pod, of a Service, or of an address.',
  details:
    'For a pod or a workload the inbound policy of its port: who is let in. For a Service (svc/NAME) the outbound policy: where\n' +
    'requests to it go; for an IP address the same, such as one outside of the cluster that an EgressNetwork holds. The running control\n' +
    'plane is asked, as a proxy of the namespace asks it.',
  flags: FLAGS,
  examples: [
    'tulle diagnostics policy -n shop deploy/web 8080',
    'tulle diagnostics policy -n shop svc/web 8080',
    'tulle dg policy -n shop svc/web 8080 --token client:caller -o json',
    'tulle diagnostics policy -n shop 203.0.113.7 443',
  ],
  run: async ({ flags, args, terminal }) => {
    const [target, portText, extra] = args;
    if (target === undefined || extra !== undefined)
      throw new UsageError('name one resource and a port, for example svc/web 8080');
    const port = portOf(portText);
    const address = parseAddress(target);
    const [type = '', name = ''] = target.split('/');
    const isService = ['svc', 'service', 'services'].includes(type.toLowerCase());
    return ask({ flags, terminal }, async ({ cluster, process, namespace, clusterDomain, asker }) => {
      if (address !== undefined) {
        const policy = await process.outboundOfAddress(address, port, asker);
        const notes = await withoutRoutes(process, formatSocketAddress(target, port), asker);
        return { table: outboundTables(policy), json: policy, notes };
      }
      if (isService) {
        const authority = `${name}.${namespace}.svc.${clusterDomain}:${port}`;
        const policy = await process.outbound(authority, asker);
        return { table: outboundTables(policy), json: policy, notes: await withoutRoutes(process, authority, asker) };
      }
      const pods = (await podsOf(cluster, namespace, target)).flatMap((object) => PODS.parse(object) ?? []);
      const pod = pods.find(({ isFinished }) => !isFinished) ?? pods[0];
      if (pod === undefined) throw new CommandError(`${target} in namespace ${namespace} has no pods`);
      const server = await process.inbound(namespace, pod.name, port);
      const notEnforced = whyNotEnforced(pod, port);
      return {
        table: inboundTables(server),
        json: { ...server, isEnforced: notEnforced === undefined },
        notes: notEnforced === undefined ? [] : [`nothing of this is enforced, everybody gets in: ${notEnforced}`],
      };
    });
  },
};

/** Which object decides in place of the routes of a policy. Proxies ask for both, and go by the profile. */
async function withoutRoutes(process: DestinationProcess, authority: string, asker: Asker): Promise<readonly string[]> {
  const profile = await process.profile(authority, asker);
  if (!decidesRoutes(profile)) return [];
  const decider = profile.ref === undefined ? 'a profile' : formatResourceRef(profile.ref);
  return [
    `${decider} decides about requests, and the routes of this policy are not used: \`tulle diagnostics profile ${authority}\` shows it`,
  ];
}

export const diagnosticsEndpoints: Command = {
  path: ['diagnostics', 'endpoints'],
  aliases: ['ep'],
  args: 'AUTHORITY...',
  summary: 'Print the endpoints that the control plane gives to proxies for Services.',
  flags: FLAGS,
  examples: [
    'tulle diagnostics endpoints web.shop.svc.cluster.local:8080',
    'tulle dg ep web.shop.svc.cluster.local:8080 cart.shop.svc.cluster.local:8080 -o json',
  ],
  run: async ({ flags, args, terminal }) => {
    if (args.length === 0)
      throw new UsageError('name one authority or more, for example web.shop.svc.cluster.local:8080');
    const [first = ''] = args;
    if (!args.some(hasPort)) throw noAuthority(first);
    return ask({ flags, terminal }, async (question) => {
      const answers = await Promise.all(args.map((authority) => endpointsOf(question, authority)));
      const endpoints = answers.flatMap((answer) => answer.endpoints ?? []);
      const notes = answers.flatMap((answer) => answer.notes ?? []);
      const problems = answers.flatMap((answer) => answer.problem ?? []);
      const titles = ['NAMESPACE', 'IP', 'PORT', 'POD', 'SERVICE'].map((title) => ({ title }));
      const rows = endpoints.map(({ namespace, ip, port, pod, service }) => [
        namespace,
        ip,
        String(port),
        pod,
        service,
      ]);
      const isEmpty = rows.length === 0 && problems.length === 0;
      const table = isEmpty ? 'No endpoints found.\n' : rows.length === 0 ? '' : formatTable(titles, rows);
      return { table, json: endpoints, notes, problems };
    });
  },
};

type ShownEndpoint = {
  readonly namespace: string;
  readonly ip: string;
  readonly port: number;
  readonly pod: string;
  readonly service: string;
  readonly weight: number;
  readonly http2: boolean;
  readonly labels: Readonly<Record<string, string>>;
};

/** Of one authority: what there is, or what is wrong with it, which does not hide the others. */
type EndpointsAnswer = {
  readonly endpoints?: readonly ShownEndpoint[];
  readonly notes?: readonly string[]; // why there are not more
  readonly problem?: string;
};

async function endpointsOf(
  { cluster, process, clusterDomain, asker }: Question,
  authority: string,
): Promise<EndpointsAnswer> {
  const at = hasPort(authority) ? parseHostPort(authority) : undefined;
  if (at === undefined) return { problem: noAuthority(authority).message };
  const target = parseServiceName(at.host, at.port, clusterDomain);
  if (target === undefined)
    return { problem: `${authority} is not the name of a Service: write NAME.NAMESPACE.svc.${clusterDomain}:PORT` };
  const { service: name, namespace } = target;
  const service = await findService(cluster, namespace, name);
  if (service === undefined)
    return {
      problem: `${authority}: there is no Service "${name}" in namespace ${namespace} (\`kubectl -n ${namespace} get services\`)`,
    };
  const problem = missingPort(service, at.port);
  if (problem !== undefined) return { problem: `${authority}: ${problem}` };
  let update;
  try {
    update = await process.endpoints(authority, asker);
  } catch (error) {
    if (error instanceof CommandError) return { problem: error.message };
    throw error;
  }
  const idle = await idleWorkloads(cluster, service);
  if (update?.kind !== 'add' || update.endpoints.length === 0)
    return { endpoints: [], notes: [whyNoEndpoints(await askedOf(cluster, service, target)), ...idle] };
  const { endpoints, labels: common } = update;
  return {
    notes: idle,
    endpoints: endpoints.map(({ address, port, weight, labels, protocolHint }) => {
      const { namespace: own = common['namespace'] ?? '', external_workload: external = '', pod = external } = labels;
      return {
        namespace: own,
        ip: address,
        port,
        pod,
        service: `${name}.${namespace}`,
        weight,
        http2: protocolHint === 'h2',
        labels,
      };
    }),
  };
}

async function findService(cluster: Cluster, namespace: string, name: string): Promise<Service | undefined> {
  const { apiPath, plural, parse } = SERVICES;
  return parse(await cluster.find(`${apiPath}/namespaces/${namespace}/${plural}/${name}`));
}

async function askedOf(cluster: Cluster, service: Service, target: ServiceTarget): Promise<Asked> {
  const { namespace, name } = service;
  const list = async <R>({ apiPath, plural, parse }: ResourceKind<R>): Promise<readonly R[]> =>
    (await cluster.list(`${apiPath}/namespaces/${namespace}/${plural}`)).flatMap((object) => parse(object) ?? []);
  const [slices, pods] = await Promise.all([list(ENDPOINT_SLICES), list(PODS)]);
  return { service, target, slices: slices.filter(({ serviceName }) => serviceName === name), pods };
}

export const diagnosticsProfile: Command = {
  path: ['diagnostics', 'profile'],
  args: 'AUTHORITY',
  summary: 'Print what the control plane tells proxies about an address or a Service.',
  flags: FLAGS,
  examples: [
    'tulle diagnostics profile web.shop.svc.cluster.local:8080',
    'tulle diagnostics profile 10.42.0.17:8080 -o json',
  ],
  run: async ({ flags, args, terminal }) => {
    const [text, extra] = args;
    if (text === undefined || extra !== undefined)
      throw new UsageError('name one authority, for example web.shop.svc.cluster.local:8080');
    if (!hasPort(text)) throw noAuthority(text);
    return ask({ flags, terminal }, async ({ process, asker }) => {
      const profile = await process.profile(text, asker);
      const { fullyQualifiedName, isOpaque, ref, endpoint, routes = [], targets = [] } = profile;
      const lines = [
        `Service:   ${fullyQualifiedName ?? 'none'}`,
        `Opaque:    ${isOpaque}`,
        ...(ref === undefined ? [] : [`Decider:   ${formatResourceRef(ref)}`]),
        ...(endpoint === undefined
          ? []
          : [
              `Endpoint:  ${formatSocketAddress(endpoint.address, endpoint.port)} ${endpoint.identity?.name ?? 'without mesh TLS'}`,
            ]),
      ];
      const targetTable = formatTable(
        [{ title: 'TARGET' }, { title: 'WEIGHT' }],
        targets.map((target) => [target.authority, String(target.weight)]),
      );
      const table = `${lines.join('\n')}\n${profileRoutesTable(routes)}${targets.length === 0 ? '' : `\n${targetTable}`}`;
      return { table, json: profile };
    });
  },
};
