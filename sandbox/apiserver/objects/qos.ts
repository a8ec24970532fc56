import { asObject, asString, field, fieldAt, objectsIn, type JsonObject } from './json.ts';
import { quantityOf } from './quantity.ts';

/**
 * The quality of service class of a pod, `status.qosClass`: Guaranteed when every container has equal requests and limits of
 * cpu and memory, BestEffort when none has any, Burstable otherwise.
 */
export function qosClass(pod: JsonObject): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const spec = asObject(field(pod, 'spec'));
  const containers = [...objectsIn(field(spec, 'containers')), ...objectsIn(field(spec, 'initContainers'))];
  const amounts = containers.flatMap((container) =>
    ['cpu', 'memory'].map((name) => ({
      limit: amount(container, 'limits', name),
      request: amount(container, 'requests', name),
    })),
  );
  if (amounts.every(({ limit, request }) => limit === 0n && request === 0n)) return 'BestEffort';
  return amounts.every(({ limit, request }) => limit > 0n && limit === request) ? 'Guaranteed' : 'Burstable';
}

function amount(container: JsonObject, kind: string, name: string): bigint {
  return quantityOf(asString(fieldAt(container, 'resources', kind, name)))?.nano ?? 0n;
}
