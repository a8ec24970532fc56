import { containsAddress, parseAddress, parseNetwork, type Network } from '#model/address.ts';
import type { ApiObject, Cluster } from '../cluster.ts';
import { Finding, type Category, type Check } from './check.ts';
import { MIN_MINOR } from './kubernetes.ts';
import { livePods } from './live-pods.ts';

const MAX_NAMED = 10;
/** Source: linkerd2 `pkg/healthcheck`: a node renews its lease every few seconds; what is older means clocks that differ. */
const MAX_SKEW_MS = 310_000;
/** Versions of routes whose fields are those that are read, by the CRD's name. Source: Gateway API's release notes. */
const GATEWAY_VERSIONS: Readonly<Record<string, readonly string[]>> = {
  'httproutes.gateway.networking.k8s.io': ['v1', 'v1beta1', 'v1alpha2'],
  'grpcroutes.gateway.networking.k8s.io': ['v1', 'v1alpha2'],
  'tlsroutes.gateway.networking.k8s.io': ['v1', 'v1alpha3', 'v1alpha2'],
  'tcproutes.gateway.networking.k8s.io': ['v1', 'v1alpha2'],
};

type NodeStatus = {
  readonly nodeInfo?: { kubeletVersion?: string; architecture?: string; operatingSystem?: string };
  readonly conditions?: readonly { type: string; status: string }[];
};

const statusOf = (node: ApiObject): NodeStatus => (node['status'] as NodeStatus | undefined) ?? {};
const list = (lines: readonly string[]): string =>
  `${lines.slice(0, MAX_NAMED).join(', ')}${lines.length > MAX_NAMED ? ` and ${lines.length - MAX_NAMED} more` : ''}`;

/** What must hold for the nodes and for what others installed, before and after an installation. */
export function clusterChecks(cluster: Cluster, now: () => number = Date.now): readonly Category[] {
  const linuxNodes = async (): Promise<readonly ApiObject[]> =>
    (await cluster.list('/api/v1/nodes')).filter(
      (node) => (statusOf(node).nodeInfo?.operatingSystem ?? 'linux') === 'linux',
    );
  const nodeCheck = (
    description: string,
    hint: string,
    severity: Check['severity'],
    problem: (node: ApiObject) => string | undefined,
  ): Check => ({
    description,
    hint,
    severity,
    run: async () => {
      const found = (await linuxNodes()).flatMap((node) => {
        const text = problem(node);
        return text === undefined ? [] : [`${node.metadata.name} ${text}`];
      });
      if (found.length > 0) throw new Finding(list(found));
    },
  });
  return [
    {
      name: 'kubernetes-nodes',
      checks: [
        nodeCheck(
          `kubelets are at least 1.${MIN_MINOR}`,
          'older ones start the proxy as an ordinary init container that never ends: upgrade them, or keep meshed pods away',
          'error',
          (node) => {
            const version = statusOf(node).nodeInfo?.kubeletVersion ?? '';
            const minor = /^v?1\.(\d+)/.exec(version)?.[1];
            return minor !== undefined && Number(minor) < MIN_MINOR ? `runs ${version}` : undefined;
          },
        ),
        nodeCheck(
          'nodes have a processor that the image is built for',
          'the image is for amd64 and arm64: keep the control plane and meshed pods away from other nodes',
          'warning',
          (node) => {
            const { architecture } = statusOf(node).nodeInfo ?? {};
            return architecture === undefined || architecture === 'amd64' || architecture === 'arm64'
              ? undefined
              : `is ${architecture}`;
          },
        ),
        {
          description: 'no clock skew detected',
          hint: 'certificates are refused when clocks differ by more than a few minutes: synchronise them (NTP)',
          severity: 'warning',
          run: async () => {
            const ready = new Set(
              (await linuxNodes())
                .filter((node) =>
                  statusOf(node).conditions?.some((one) => one.type === 'Ready' && one.status === 'True'),
                )
                .map(({ metadata }) => metadata.name),
            );
            const leases = await cluster.list('/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases');
            const found = leases.flatMap(({ metadata, spec }) => {
              const renewedMs = Date.parse((spec as { renewTime?: string } | undefined)?.renewTime ?? '');
              const skewMs = now() - renewedMs;
              if (!ready.has(metadata.name) || Number.isNaN(renewedMs) || Math.abs(skewMs) < MAX_SKEW_MS) return [];
              const seconds = Math.round(Math.abs(skewMs) / 1000);
              return [`${metadata.name} is ${seconds} s ${skewMs > 0 ? 'behind' : 'ahead of'} this machine`];
            });
            if (found.length > 0) throw new Finding(list(found));
          },
        },
      ],
    },
    {
      name: 'gateway-api-crd',
      checks: [
        {
          description: 'routes of Gateway API are served in a version that takes effect',
          hint: 'install a release of Gateway API that serves one of them; Tulle never changes definitions that exist',
          severity: 'warning',
          run: async () => {
            const found = [];
            for (const [name, known] of Object.entries(GATEWAY_VERSIONS)) {
              const definition = await cluster.find(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`);
              if (definition === undefined) continue; // nobody uses routes of this kind
              const { versions = [] } = definition['spec'] as { versions?: { name: string; served: boolean }[] };
              const served = versions.filter((version) => version.served).map((version) => version.name);
              if (!served.some((version) => known.includes(version)))
                found.push(`${name} serves ${served.join(', ') || 'no version'}, and not one of ${known.join(', ')}`);
            }
            if (found.length > 0) throw new Finding(found.join('\n'));
          },
        },
      ],
    },
  ];
}

/** Whether `clusterNetworks` covers what is in the cluster. Addresses outside count as the internet and get no identity. */
export function networkChecks(cluster: Cluster, networks: () => Promise<readonly string[]>): readonly Check[] {
  const check = (description: string, addresses: () => Promise<readonly (readonly [string, string])[]>): Check => ({
    description,
    hint: 'add the network: `tulle upgrade --set clusterNetworks=... | kubectl apply -f -` (all of them, separated by commas)',
    severity: 'error',
    run: async () => {
      const blocks = (await networks()).map(parseNetwork).filter((block) => block !== undefined);
      const outside = (await addresses()).filter(([, address]) => !isInside(blocks, address));
      if (outside.length > 0) throw new Finding(list(outside.map(([name, address]) => `${name} has ${address}`)));
    },
  });
  return [
    check('cluster networks contain all networks of nodes', async () =>
      (await cluster.list('/api/v1/nodes')).flatMap((node) => {
        const { podCIDRs = [] } = (node['spec'] ?? {}) as { podCIDRs?: readonly string[] };
        return podCIDRs.map((block) => [`node ${node.metadata.name}`, block] as const);
      }),
    ),
    check('cluster networks contain all pods', async () =>
      (await livePods(cluster)).flatMap((pod) => {
        const { podIP, phase } = (pod['status'] ?? {}) as { podIP?: string; phase?: string };
        const isOnHost = (pod['spec'] as { hostNetwork?: boolean } | undefined)?.hostNetwork === true;
        return podIP === undefined || isOnHost || phase !== 'Running'
          ? []
          : [[`pod ${pod.metadata.namespace}/${pod.metadata.name}`, podIP] as const];
      }),
    ),
    check('cluster networks contain all Services', async () =>
      (await cluster.list('/api/v1/services')).flatMap((service) => {
        const { clusterIP } = (service['spec'] ?? {}) as { clusterIP?: string };
        return clusterIP === undefined || clusterIP === '' || clusterIP === 'None'
          ? []
          : [[`service ${service.metadata.namespace}/${service.metadata.name}`, clusterIP] as const];
      }),
    ),
  ];
}

/** @param text  an address or a network */
function isInside(blocks: readonly Network[], text: string): boolean {
  const [addressText = '', prefix] = text.split('/');
  const address = parseAddress(addressText);
  if (address === undefined) return true; // not ours to judge
  return blocks.some(
    (block) => containsAddress(block, address) && (prefix === undefined || Number(prefix) >= block.prefixBits),
  );
}
