import { isDeepStrictEqual } from 'node:util';
import { asList, asObject, type JsonObject } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Diagnosis } from '../../diagnosis/diagnosis.ts';
import { POLICY_KINDS } from '../../dialects/policy-objects.ts';
import type { PolicyStore } from '../../policy/policy-store.ts';
import { policyObjects, storedObjects } from '../../policy/status-objects.ts';
import { CONTROLLER_NAME, dated, type StatusSource } from '../../policy/status-writer.ts';
import type { TrafficObjects } from '../../policy/traffic-objects.ts';
import { EFFECTIVE, effective, ownConditions } from './conditions.ts';
import { identityOf, type Effects } from './effects.ts';

/** Sources for kinds that have no judge of their own: what the rules say is all that there is to say. */
export function ruledStatusSources(
  policies: PolicyStore,
  { profiles, splits }: TrafficObjects,
  effects: Effects,
): readonly StatusSource[] {
  const kinds = POLICY_KINDS.filter((kind) => kind !== 'HTTPLocalRateLimitPolicy');
  const objects = [
    ...kinds.map((kind) => policyObjects(policies, kind)),
    ...[profiles, splits].map((store) => storedObjects(store)),
  ];
  return objects.map((of) => ({
    ...of,
    statusOf(object, now) {
      const found = effects.of(object);
      if (found === undefined) return {};
      const before = asList(object.status['conditions']);
      const conditions = ownConditions(object.kind, found).map((one) => dated(one, object, before, now));
      return { conditions: replaced(before, conditions) };
    },
  }));
}

/**
 * A source whose statuses say too whether everything in the object has an effect. What else they say waits for that, so that an
 * object is written once for one change.
 */
export function withEffect(source: StatusSource, effects: Effects): StatusSource {
  return {
    ...source,
    onChange(listener) {
      const waiting = new Set<string>(); // of objects that are there: as many as the kind has
      source.onChange((key) => {
        waiting.add(key);
        effects.request();
      });
      effects.onLooked((changed) => {
        const ready = [...waiting].filter((key) => source.get(key) !== undefined);
        waiting.clear();
        for (const key of ready) listener(key);
        if (changed.size === 0) return;
        for (const key of source.keys()) {
          const object = source.get(key);
          if (object !== undefined && changed.has(identityOf(object))) listener(key);
        }
      });
    },
    statusOf(object, now) {
      const status = source.statusOf(object, now);
      const found = effects.of(object);
      if ('parents' in status) {
        const parents = asList(status['parents']).map(asObject);
        return { ...status, parents: parents.map((entry) => ofParent(entry, object, found, now)) };
      }
      const before = asList(status['conditions']);
      if (found === undefined) return status;
      const condition = dated(effective(found), object, before, now);
      const others = before.filter((one) => asObject(one)['type'] !== EFFECTIVE);
      return { ...status, conditions: [...others, condition] };
    },
  };
}

/** Of one parent of a route: findings about others of its parents are not about this one. */
function ofParent(
  entry: JsonObject,
  object: CustomObject,
  found: readonly Diagnosis[] | undefined,
  now: string,
): JsonObject {
  if (entry['controllerName'] !== CONTROLLER_NAME) return entry;
  const earlier = asList(object.status['parents'])
    .map(asObject)
    .find(
      ({ controllerName, parentRef }) =>
        controllerName === CONTROLLER_NAME && isDeepStrictEqual(parentRef, entry['parentRef']),
    );
  const before = asList(earlier?.['conditions']);
  const index = asList(object.spec['parentRefs']).findIndex((ref) => isDeepStrictEqual(ref, entry['parentRef']));
  const own = `spec.parentRefs[${index}]`;
  const about = found?.filter(({ subject }) => !subject.startsWith('spec.parentRefs[') || subject.startsWith(own));
  const condition =
    about === undefined
      ? before.map(asObject).find(({ type }) => type === EFFECTIVE)
      : dated(effective(about), object, before, now);
  return condition === undefined ? entry : { ...entry, conditions: [...asList(entry['conditions']), condition] };
}

/** Conditions with some of them in another state, each at its place. */
function replaced(before: readonly unknown[], conditions: readonly JsonObject[]): readonly unknown[] {
  const typeOf = (one: unknown): unknown => asObject(one)['type'];
  const kept = before.map((one) => conditions.find(({ type }) => type === typeOf(one)) ?? one);
  return [...conditions.filter(({ type }) => !before.some((one) => typeOf(one) === type)), ...kept];
}
