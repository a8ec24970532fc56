import { addressBeside, formatNetwork, type Network } from '#model/address.ts';
import { egressAnnotationProblems, judgeEgressNetwork, type EgressNetwork } from '../../dialects/egress-network.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Configuration } from '../configuration.ts';

/** What becomes of EgressNetworks: by the code that writes their status. What the webhook refuses is told elsewhere. */
export function egressFindings({ egress }: Configuration): readonly Diagnosis[] {
  const { clusterNetworks, globalEgressNamespace } = egress.settings;
  return [...egress.store.values()].flatMap((object) => {
    const { reason, field, message } = judgeEgressNetwork(object, clusterNetworks);
    const annotations = egressAnnotationProblems(object).map((one) =>
      diagnose('TL0604', object, `metadata.annotations[${one.field}]`, one.message),
    );
    if (reason === 'EgressReasonNetworkOverlap') return [diagnose('TL0601', object, field, message), ...annotations];
    const all = egress.usable(object.namespace);
    const own = all.find((network) => network.object === object);
    if (own === undefined) return annotations;
    const older = all.slice(0, all.indexOf(own)).find((other) => own.networks.every((match) => isTaken(match, other)));
    if (older !== undefined) {
      const by = `EgressNetwork ${older.object.namespace}/${older.object.name}`;
      return [diagnose('TL0602', object, 'spec.networks', `${by} decides about the same addresses`), ...annotations];
    }
    if (object.namespace === globalEgressNamespace || own !== all[0]) return annotations;
    const denied = egress.usable(globalEgressNamespace).filter(({ isAllowed }) => !isAllowed);
    const escaped = denied.flatMap((network) => {
      const left = network.networks.find(
        (match) => addressBeside(held(all, match.except), match.network) !== undefined,
      );
      return left === undefined ? [] : [{ network, left }];
    });
    const [first] = escaped;
    if (first === undefined) return annotations;
    const { name } = first.network.object;
    const text = `addresses of ${formatNetwork(first.left.network)} that EgressNetwork ${globalEgressNamespace}/${name} denies are in no network here, and are allowed`;
    return [diagnose('TL0603', object, 'spec.networks', text), ...annotations];
  });
}

/** Blocks in which nothing escapes: those that networks hold wholly, and those that are left out anyway. */
function held(networks: readonly EgressNetwork[], except: readonly Network[]): readonly Network[] {
  const whole = networks.flatMap((one) =>
    one.networks
      .filter((match) => match.except.every((hole) => addressBeside(except, hole) === undefined))
      .map(({ network }) => network),
  );
  return [...whole, ...except];
}

/** Whether another network has the same block and leaves no more out. */
function isTaken({ network, except }: EgressNetwork['networks'][number], other: EgressNetwork): boolean {
  return other.networks.some(
    (match) =>
      formatNetwork(match.network) === formatNetwork(network) &&
      match.except.every((hole) => addressBeside(except, hole) === undefined),
  );
}
