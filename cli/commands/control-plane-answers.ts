import { parseAddress } from '#model/address.ts';
import { parseHostPort } from '#model/service-target.ts';
import { formatSocketAddress } from '#model/address.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import { connect, type Cluster } from '../cluster.ts';
import {
  CLUSTER_FLAGS,
  CommandError,
  optionalText,
  textFlag,
  UsageError,
  type Command,
  type FlagValues,
} from '../command.ts';
import { DestinationProcess, type Asker } from '../diagnostics/destination-client.ts';
import { inboundTables, outboundTables, profileRoutesTable } from '../diagnostics/policy-tables.ts';
import { installedValues } from '../installed-values.ts';
import { formatTable } from '../table.ts';
import { podsOf } from '../workloads.ts';

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
type Printed = { readonly table: string; readonly json: unknown };

type Question = {
  readonly cluster: Cluster;
  readonly process: DestinationProcess;
  readonly namespace: string;
  readonly clusterDomain: string;
  readonly asker: Asker;
};

/** Asks the running control plane, and prints the answer. */
async function ask(flags: FlagValues, question: (with_: Question) => Promise<Printed>): Promise<string> {
  const cluster = await connect(flags);
  try {
    const namespace = optionalText(flags, 'namespace') ?? cluster.defaultNamespace;
    const asker = askerOf(optionalText(flags, 'token') ?? `${namespace}:diagnostics`);
    const { values } = await installedValues(cluster, textFlag(flags, 'tulle-namespace'));
    using process = await DestinationProcess.connect(cluster, values);
    const { table, json } = await question({ cluster, process, namespace, clusterDomain: values.clusterDomain, asker });
    return flags['output'] === 'json' ? `${JSON.stringify(json, undefined, 2)}\n` : table;
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

function authorityOf(text: string, isPortNeeded: boolean): string {
  if (parseHostPort(text) === undefined || (isPortNeeded && !/:\d+$/.test(text))) {
    throw new UsageError(`"${text}" is not an authority: write NAME:PORT, as in web.shop.svc.cluster.local:80`);
  }
  return text;
}

function portOf(text: string | undefined): number {
  const port = /^\d{1,5}$/.test(text ?? '') ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new UsageError(`"${text ?? ''}" is not a port: write a number from 1 to 65535`);
  return port;
}

export const diagnosticsPolicy: Command = {
  path: ['diagnostics', 'policy'],
  args: 'TYPE/NAME|IP PORT',
  summary:
    'Print the policy that the control plane gives to proxies: of a port of a pod, of a Service, or of an address.',
  details:
    'For a pod or a workload the inbound policy of its port: who is let in. For a Service (svc/NAME) the outbound policy: where\n' +
    'requests to it go; for an IP address the same, such as one outside of the cluster that an EgressNetwork holds. The running control\n' +
    'plane is asked, as a proxy of the namespace asks it.',
  flags: FLAGS,
  examples: [
    'tulle diagnostics policy -n shop deploy/web 8080',
    'tulle diagnostics policy -n shop svc/web 80',
    'tulle dg policy -n shop svc/web 80 --token client:caller -o json',
    'tulle diagnostics policy -n shop 203.0.113.7 443',
  ],
  run: async ({ flags, args, terminal }) => {
    const [target, portText, extra] = args;
    if (target === undefined || extra !== undefined)
      throw new UsageError('name one resource and a port, for example svc/web 80');
    const port = portOf(portText);
    const address = parseAddress(target);
    const [type = '', name = ''] = target.split('/');
    const isService = ['svc', 'service', 'services'].includes(type.toLowerCase());
    terminal.out(
      await ask(flags, async ({ cluster, process, namespace, clusterDomain, asker }) => {
        if (address !== undefined) {
          const policy = await process.outboundOfAddress(address, port, asker);
          return { table: outboundTables(policy), json: policy };
        }
        if (isService) {
          const policy = await process.outbound(`${name}.${namespace}.svc.${clusterDomain}:${port}`, asker);
          return { table: outboundTables(policy), json: policy };
        }
        const [pod] = await podsOf(cluster, namespace, target);
        if (pod === undefined) throw new CommandError(`${target} in namespace ${namespace} has no pods`);
        const server = await process.inbound(namespace, pod.metadata.name, port);
        return { table: inboundTables(server), json: server };
      }),
    );
    return 0;
  },
};

export const diagnosticsEndpoints: Command = {
  path: ['diagnostics', 'endpoints'],
  aliases: ['ep'],
  args: 'AUTHORITY...',
  summary: 'Print the endpoints that the control plane gives to proxies for Services.',
  flags: FLAGS,
  examples: [
    'tulle diagnostics endpoints web.shop.svc.cluster.local:80',
    'tulle dg ep web.shop.svc.cluster.local:80 cart.shop.svc.cluster.local:80 -o json',
  ],
  run: async ({ flags, args, terminal }) => {
    if (args.length === 0)
      throw new UsageError('name one authority or more, for example web.shop.svc.cluster.local:80');
    const authorities = args.map((text) => authorityOf(text, true));
    terminal.out(
      await ask(flags, async ({ process, asker }) => {
        const found = await Promise.all(
          authorities.map(async (authority) => {
            const update = await process.endpoints(authority, asker);
            if (update?.kind !== 'add') return [];
            const service = authority.split('.', 2).join('.');
            return update.endpoints.map(({ address, port, weight, labels, protocolHint }) => {
              const {
                namespace = update.labels['namespace'] ?? '',
                external_workload: external = '',
                pod = external,
              } = labels;
              return { namespace, ip: address, port, pod, service, weight, http2: protocolHint === 'h2', labels };
            });
          }),
        );
        const endpoints = found.flat();
        const titles = ['NAMESPACE', 'IP', 'PORT', 'POD', 'SERVICE'].map((title) => ({ title }));
        const rows = endpoints.map(({ namespace, ip, port, pod, service }) => [
          namespace,
          ip,
          String(port),
          pod,
          service,
        ]);
        return { table: rows.length === 0 ? 'No endpoints found.\n' : formatTable(titles, rows), json: endpoints };
      }),
    );
    return 0;
  },
};

export const diagnosticsProfile: Command = {
  path: ['diagnostics', 'profile'],
  args: 'AUTHORITY',
  summary: 'Print what the control plane tells proxies about an address or a Service.',
  flags: FLAGS,
  examples: [
    'tulle diagnostics profile web.shop.svc.cluster.local:80',
    'tulle diagnostics profile 10.42.0.17:8080 -o json',
  ],
  run: async ({ flags, args, terminal }) => {
    const [text, extra] = args;
    if (text === undefined || extra !== undefined)
      throw new UsageError('name one authority, for example web.shop.svc.cluster.local:80');
    const authority = authorityOf(text, true);
    terminal.out(
      await ask(flags, async ({ process, asker }) => {
        const profile = await process.profile(authority, asker);
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
      }),
    );
    return 0;
  },
};
