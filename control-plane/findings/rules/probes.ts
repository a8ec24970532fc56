import type { Probe } from '#k8s/resources/pod.ts';
import { networkMatches } from '#model/authorization.ts';
import { evaluateInbound } from '#model/evaluate.ts';
import type { InboundServer } from '#model/inbound.ts';
import { isInboundSkipped } from '../../dialects/skipped-ports.ts';
import { inboundServer, type InboundSettings } from '../../policy/inbound-policy.ts';
import type { ConfigurationContext, Configuration, Workload } from '../configuration.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';

/** Where it is nobody knows here, so whoever lets in some network is taken to let it in. */
const KUBELET = { address: '10.0.0.1', tls: { kind: 'none' } } as const;
const EVERYWHERE = networkMatches(['0.0.0.0/0', '::/0']);
const DENIED: Pick<InboundSettings, 'defaultPolicy' | 'opaquePorts' | 'probeNetworks'> = {
  defaultPolicy: 'deny',
  opaquePorts: { ranges: [] },
  probeNetworks: EVERYWHERE.map((one) => one.network),
};

/**
 * Probes by HTTP and gRPC that the proxy would refuse, because a Server says so: proxies let probes in by themselves where they see
 * requests, so not on opaque ports, and those by HTTP not beside routes of gRPC.
 */
export function probeFindings(configuration: Configuration): readonly Diagnosis[] {
  const { custom, context } = configuration;
  const namespaces = new Set(custom.filter(({ kind }) => kind === 'Server').map(({ namespace }) => namespace));
  return [...namespaces].flatMap((namespace) =>
    configuration
      .workloadsIn(namespace)
      .filter(({ isMeshed, pod }) => isMeshed && !pod.isHostNetwork)
      .flatMap((workload) => ofWorkload(workload, configuration, context)),
  );
}

function ofWorkload(
  { kind, namespace, name, pod }: Workload,
  { policies }: Configuration,
  { policy }: ConfigurationContext,
): readonly Diagnosis[] {
  return pod.probes.flatMap((probe) => {
    if (isInboundSkipped(pod, probe.port)) return [];
    const server = inboundServer(pod, probe.port, policies, { ...DENIED, ...policy });
    const reason = server.ref.type === 'resource' ? refusal(server, probe) : undefined;
    if (reason === undefined || server.ref.type !== 'resource') return [];
    const about = { group: 'policy.linkerd.io', kind: 'Server', namespace, name: server.ref.name };
    const message = `the probe ${probe.method} ${probe.path} of ${kind} ${namespace}/${name}, port ${probe.port}, is refused: ${reason}`;
    return [diagnose('TL0210', about, 'spec', message)];
  });
}

/** @returns why a probe is refused wherever it comes from, or nothing */
function refusal(server: InboundServer, { method, path }: Probe): string | undefined {
  const authorizations = server.authorizations.map((one) => ({ ...one, networks: EVERYWHERE }));
  const request = {
    method,
    path: path.split('?', 1)[0] ?? '/',
    query: '',
    host: '',
    header: () => undefined,
    matchesPattern: () => false,
  };
  const verdict = evaluateInbound({ ...server, authorizations }, KUBELET, request);
  return verdict.isAllowed ? undefined : verdict.reason;
}
