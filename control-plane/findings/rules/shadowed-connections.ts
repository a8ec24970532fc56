import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { evaluateConnection } from '#model/evaluate.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import { connectionRouteProblems } from '../../dialects/connection-route.ts';
import { isConnectionRoute } from '../../dialects/route-kinds.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Configuration } from '../configuration.ts';
import { targetsOf, type Target } from '../targets.ts';
import { FRESH, nameOf } from './shadowed-rules.ts';

type Shadow = { readonly route: CustomObject; readonly field: string; readonly by: string | undefined };

/** TLSRoutes and TCPRoutes that get no connection, since older ones are about the same. */
export function shadowedConnections(configuration: Configuration): readonly Diagnosis[] {
  const found = new Map<CustomObject, Diagnosis>();
  const alive = new Set<CustomObject>();
  for (const target of targetsOf(configuration, isConnectionRoute)) {
    for (const { route, field, by } of [...ofTls(target, configuration), ...ofTcp(target, configuration)]) {
      if (by === undefined) alive.add(route);
      else found.set(route, diagnose('TL0105', route, field, `${by} decides about all that it matches`));
    }
  }
  return [...found].filter(([route]) => !alive.has(route)).map(([, diagnosis]) => diagnosis);
}

function ofTls({ parent, policy }: Target, { routes }: Configuration): readonly Shadow[] {
  const { protocol } = policy;
  if (protocol.kind !== 'tls') return [];
  return protocol.routes.flatMap(({ ref, serverNames }) => {
    const route = [...routes.ofParent(parent)].find((one) => isRef(one, ref));
    if (route === undefined) return [];
    const names = serverNames.length === 0 ? [FRESH] : serverNames.map(nameOf);
    const deciders = names.map((name) => deciderOf(policy, name));
    const by = deciders.some((decider) => decider !== undefined && isRef(route, decider)) ? undefined : deciders[0];
    return [{ route, field: 'spec.hostnames', by: by && formatted(by) }];
  });
}

function ofTcp({ parent, port, policy }: Target, configuration: Configuration): readonly Shadow[] {
  const { protocol } = policy;
  const { ref } = protocol.kind === 'opaque' ? protocol.opaque : {};
  if (ref?.type !== 'resource') return [];
  const { routes, services } = configuration;
  const service = services.get(parent.namespace, parent.name);
  const attached =
    parent.kind === 'EgressNetwork'
      ? routes.attachedToEgress(parent, port)
      : (service?.ports.filter((one) => one.port === port) ?? []).flatMap((one) =>
          service === undefined ? [] : routes.attached(service, one),
        );
  // Only those of the same namespace hold for the same clients.
  return attached
    .filter(
      (route) =>
        route.kind === 'TCPRoute' && route.namespace === ref.namespace && connectionRouteProblems(route).length === 0,
    )
    .map((route) => ({ route, field: 'spec', by: isRef(route, ref) ? undefined : formatted(ref) }));
}

type Ref = OutboundPolicy['ref'];

function deciderOf(policy: OutboundPolicy, serverName: string): Ref | undefined {
  const verdict = evaluateConnection({ policy }, serverName);
  return verdict.kind === 'routed' ? verdict.decider?.ref : undefined;
}

function isRef({ group, kind, namespace, name }: CustomObject, ref: Ref): boolean {
  return (
    ref.type === 'resource' &&
    ref.group === group &&
    ref.kind === kind &&
    ref.namespace === namespace &&
    ref.name === name
  );
}

function formatted(ref: Ref): string {
  return ref.type === 'resource' ? `${ref.kind} ${ref.namespace}/${ref.name}` : ref.name;
}
