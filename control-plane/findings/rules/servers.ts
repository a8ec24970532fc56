import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { selects } from '../../dialects/label-selector.ts';
import { readServer, type ServerPolicy } from '../../dialects/linkerd-policy.ts';
import { selectServer } from '../../dialects/linkerd-servers.ts';
import { isInboundSkipped, SKIP_INBOUND_PORTS } from '../../dialects/skipped-ports.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Configuration, Workload } from '../configuration.ts';

const NAMED_MAX = 5;

/** Whether Servers are about anything, and whether it is they that decide about it. */
export function serverFindings(configuration: Configuration): readonly Diagnosis[] {
  return configuration.custom
    .filter(({ kind }) => kind === 'Server')
    .flatMap((server) => ofServer(server, configuration));
}

function ofServer(server: CustomObject, configuration: Configuration): readonly Diagnosis[] {
  const policy = readServer(server, configuration.context.policy).value;
  const workloads = configuration.workloadsIn(server.namespace);
  // Without any pod nobody can tell what there will be.
  if (policy === undefined || policy.isExternal || workloads.length === 0) return [];
  const selected = workloads.filter(({ pod }) => selects(policy.selector, pod.labels));
  if (selected.length === 0) return [diagnose('TL0201', server, 'spec.podSelector', 'selects no pod')];
  const ports = selected.flatMap((workload) => portsOf(policy, workload).map((port) => ({ workload, port })));
  if (ports.length === 0) {
    return [
      diagnose('TL0201', server, 'spec.port', `no pod that it selects has a container port named "${policy.port}"`),
    ];
  }
  return [...displaced(server, ports, configuration), ...unmeshed(server, selected), ...skipped(server, ports)];
}

function portsOf({ port }: ServerPolicy, { pod }: Workload): readonly number[] {
  if (typeof port === 'number') return [port];
  return [...new Set(pod.ports.filter(({ name }) => name === port).map((one) => one.port))];
}

type WorkloadPort = { readonly workload: Workload; readonly port: number };

function displaced(
  server: CustomObject,
  ports: readonly WorkloadPort[],
  { policies, context }: Configuration,
): readonly Diagnosis[] {
  const winners = ports.flatMap(({ workload, port }) => {
    const ref = selectServer(workload.pod, port, policies, context.policy)?.ref;
    return ref?.type === 'resource' && ref.name !== server.name ? [{ name: ref.name, port, workload }] : [];
  });
  const [first] = winners;
  if (first === undefined) return [];
  const message = `Server ${server.namespace}/${first.name} decides about port ${first.port} of ${named([first.workload])}`;
  return [diagnose('TL0202', server, 'spec', message)];
}

function unmeshed(server: CustomObject, selected: readonly Workload[]): readonly Diagnosis[] {
  const without = selected.filter(({ isMeshed }) => !isMeshed);
  return without.length === 0
    ? []
    : [diagnose('TL0502', server, 'spec.podSelector', `${named(without)} without a proxy`)];
}

function skipped(server: CustomObject, ports: readonly WorkloadPort[]): readonly Diagnosis[] {
  const past = ports.filter(({ workload, port }) => workload.isMeshed && isInboundSkipped(workload.pod, port));
  const [first] = past;
  if (first === undefined) return [];
  const workloads = named(past.map(({ workload }) => workload));
  return [diagnose('TL0505', server, 'spec.port', `${SKIP_INBOUND_PORTS} of ${workloads} has ${first.port}`)];
}

function named(workloads: readonly Workload[]): string {
  const shown = workloads.slice(0, NAMED_MAX).map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`);
  const more = workloads.length - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
}
