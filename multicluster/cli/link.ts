import { isIP } from 'node:net';
import { parse, stringify } from 'yaml';
import { CONFIG_MAP } from '#config/names.ts';
import { toYaml, type Manifest } from '../../control-plane/install/manifest.ts';
import { connect, type ApiObject, type Cluster } from '../../cli/cluster.ts';
import { CLUSTER_FLAGS, CommandError, optionalText, textFlag, UsageError, type Command } from '../../cli/command.ts';
import { credentialsSecret, EXPORTED, GATEWAY, GATEWAY_IDENTITY, MIRROR, NAMESPACE, REMOTE_ACCESS } from '../names.ts';

/** Where no controller fills the token Secret. Servers may shorten it. */
const TOKEN_SECONDS = 365 * 86_400;

export const multiclusterLink: Command = {
  path: ['multicluster', 'link-gen'],
  aliases: ['link'],
  summary: 'Print what links this cluster to another one: credentials and a Link, to be applied in the other cluster.',
  details: 'Run it against the cluster whose Services are to be mirrored; apply the output where they are to appear.',
  flags: {
    ...CLUSTER_FLAGS,
    'cluster-name': {
      type: 'string',
      value: 'NAME',
      isName: true,
      help: 'name of this cluster, the suffix of mirrored Services',
    },
    'gateway-addresses': {
      type: 'string',
      value: 'LIST',
      help: 'addresses of the gateway (default: of its load balancer)',
    },
    'gateway-port': { type: 'string', value: 'PORT', help: 'port of the gateway (default: as the gateway has it)' },
    'gateway-probe-port': { type: 'string', value: 'PORT', help: 'probe port (default: as the gateway has it)' },
    'api-server-address': {
      type: 'string',
      value: 'URL',
      help: 'the API server as the other cluster reaches it (default: as in the kubeconfig)',
    },
    selector: {
      type: 'string',
      short: 'l',
      value: 'LABEL=VALUE',
      default: `${EXPORTED}=true`,
      help: 'label of the Services to mirror',
    },
  },
  examples: ['tulle multicluster link-gen --context west --cluster-name west | kubectl --context east apply -f -'],
  run: async ({ flags, terminal }) => {
    const name = textFlag(flags, 'cluster-name');
    const [label = '', value = '', ...more] = textFlag(flags, 'selector').split('=');
    if (label === '' || value === '' || more.length > 0)
      throw new UsageError(`--selector is "${textFlag(flags, 'selector')}": use LABEL=VALUE`);
    const cluster = await connect(flags);
    try {
      const gateway = await cluster.find(`/api/v1/namespaces/${NAMESPACE}/services/${GATEWAY}`);
      if (gateway === undefined)
        throw new CommandError(
          `there is no Service ${NAMESPACE}/${GATEWAY} in this cluster`,
          '`tulle multicluster install | kubectl apply -f -`',
        );
      const server = optionalText(flags, 'api-server-address') ?? cluster.server;
      if (!URL.canParse(server))
        throw new UsageError(`--api-server-address is "${server}": use a URL such as https://10.0.0.1:6443`);
      if (/^(127\.|localhost$|\[::1\]$)/.test(new URL(server).hostname))
        terminal.err(
          `warning: ${server} is an address of this machine, which pods of another cluster do not reach: use --api-server-address\n`,
        );
      const controlNamespace = textFlag(flags, 'tulle-namespace');
      const kubeconfig = await kubeconfigFor(cluster, name, server, (text) => terminal.err(text));
      terminal.out(
        toYaml([
          {
            apiVersion: 'v1',
            kind: 'Secret',
            type: `${MIRROR}/remote-kubeconfig`,
            metadata: { name: credentialsSecret(name), namespace: NAMESPACE },
            data: { kubeconfig: Buffer.from(kubeconfig).toString('base64') },
          },
          link(name, gateway, {
            addresses: optionalText(flags, 'gateway-addresses'),
            port: optionalText(flags, 'gateway-port') ?? portOf(gateway, 'mc-gateway'),
            probePort: optionalText(flags, 'gateway-probe-port') ?? portOf(gateway, 'mc-probe'),
            controlNamespace,
            domain: await clusterDomain(cluster, controlNamespace),
            selector: { [label]: value },
          }),
        ]),
      );
      return 0;
    } finally {
      cluster.close();
    }
  },
};

/** As the installation's values say. */
async function clusterDomain(cluster: Cluster, namespace: string): Promise<string> {
  const config = await cluster.find(`/api/v1/namespaces/${namespace}/configmaps/${CONFIG_MAP}`);
  if (config === undefined)
    throw new CommandError(
      `there is no ConfigMap ${namespace}/${CONFIG_MAP}: is Tulle installed there (--tulle-namespace)?`,
    );
  const values = parse((config['data'] as Record<string, string> | undefined)?.['values'] ?? '') as {
    clusterDomain?: string;
  } | null;
  return values?.clusterDomain ?? 'cluster.local';
}

type GatewayService = {
  readonly type?: string;
  readonly ports?: readonly { readonly name?: string; readonly port: number; readonly nodePort?: number }[];
};

function portOf(gateway: ApiObject, name: string): string {
  const { type, ports = [] } = gateway['spec'] as GatewayService;
  const port = ports.find((one) => one.name === name);
  if (port === undefined)
    throw new CommandError(`Service ${NAMESPACE}/${GATEWAY} has no port named ${name}: install the extension again`);
  return String(type === 'NodePort' ? (port.nodePort ?? port.port) : port.port);
}

function link(
  name: string,
  gateway: ApiObject,
  options: {
    readonly addresses: string | undefined;
    readonly port: string;
    readonly probePort: string;
    readonly controlNamespace: string;
    readonly domain: string;
    readonly selector: Readonly<Record<string, string>>;
  },
): Manifest {
  const annotations = gateway.metadata.annotations ?? {};
  const identity = annotations[GATEWAY_IDENTITY];
  if (identity === undefined)
    throw new CommandError(
      `Service ${NAMESPACE}/${GATEWAY} has no annotation ${GATEWAY_IDENTITY}: install the extension again`,
    );
  return {
    apiVersion: 'multicluster.linkerd.io/v1alpha2',
    kind: 'Link',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      targetClusterName: name,
      targetClusterDomain: options.domain,
      targetClusterLinkerdNamespace: options.controlNamespace,
      clusterCredentialsSecret: credentialsSecret(name),
      gatewayAddress: options.addresses ?? balancerAddresses(gateway),
      gatewayPort: options.port,
      gatewayIdentity: identity,
      probeSpec: {
        path: annotations[`${MIRROR}/probe-path`] ?? '/ready',
        port: options.probePort,
        period: `${annotations[`${MIRROR}/probe-period`] ?? '3'}s`,
        timeout: '30s',
        failureThreshold: '3',
      },
      selector: { matchLabels: options.selector },
    },
  };
}

function balancerAddresses(gateway: ApiObject): string {
  const { loadBalancer } = (gateway['status'] ?? {}) as {
    loadBalancer?: { ingress?: readonly { readonly ip?: string; readonly hostname?: string }[] };
  };
  const found = (loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }) => ip ?? hostname ?? []);
  const usable = found.filter((address) => isIP(address) !== 0 || /^[a-z0-9.-]+$/i.test(address));
  if (usable.length === 0)
    throw new CommandError(
      `Service ${NAMESPACE}/${GATEWAY} has no load balancer address yet`,
      'wait for it, or say where the gateway is with --gateway-addresses',
    );
  return usable.join(',');
}

/** A kubeconfig of the service account that may only see Services, their endpoints and the trust anchors. */
async function kubeconfigFor(
  cluster: Cluster,
  name: string,
  server: string,
  warn: (text: string) => void,
): Promise<string> {
  const secret = await cluster.find(`/api/v1/namespaces/${NAMESPACE}/secrets/${REMOTE_ACCESS}-token`);
  const stored = (secret?.['data'] as Record<string, string> | undefined)?.['token'];
  let token = stored === undefined ? undefined : Buffer.from(stored, 'base64').toString('utf8');
  if (token === undefined) {
    const path = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/${REMOTE_ACCESS}/token`;
    const body = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: TOKEN_SECONDS, audiences: [] },
    };
    const answer = (await cluster.request('POST', path, body)) as {
      status: { token: string; expirationTimestamp: string };
    };
    token = answer.status.token;
    warn(
      `warning: this cluster fills no token Secrets; the credentials end at ${answer.status.expirationTimestamp}: link again before\n`,
    );
  }
  const roots = await cluster.get(`/api/v1/namespaces/${NAMESPACE}/configmaps/kube-root-ca.crt`);
  const ca = (roots['data'] as Record<string, string> | undefined)?.['ca.crt'] ?? '';
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } }],
    users: [{ name: REMOTE_ACCESS, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: REMOTE_ACCESS } }],
    'current-context': name,
  });
}
