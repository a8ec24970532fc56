import type { ResourceStore } from '#k8s/resource-store.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { PolicyKind } from '../dialects/policy-objects.ts';
import type { PolicyStore } from './policy-store.ts';
import type { StatusSource } from './status-writer.ts';

/** Where the objects of one kind are kept whose status is written. */
export type StatusObjects = Pick<StatusSource, 'keys' | 'get' | 'onChange'>;

/** Each is told of when it changes itself. */
export function storedObjects(store: ResourceStore<CustomObject>): StatusObjects {
  return {
    keys: () => [...store.values()].map(({ namespace, name }) => keyOf(namespace, name)),
    get: (key) => store.getByKey(key),
    onChange(listener) {
      store.onChange((next) => {
        if (next !== undefined) listener(keyOf(next.namespace, next.name));
      });
    },
  };
}

/** All of a namespace are told of when one of its policies changes: they refer to each other. */
export function policyObjects(policies: PolicyStore, kind: PolicyKind): StatusObjects {
  return {
    keys: () => policies.keys(kind),
    get(key) {
      const slash = key.indexOf('/');
      return policies.get(kind, key.slice(0, slash), key.slice(slash + 1));
    },
    onChange(listener) {
      policies.onChange((namespace) => {
        for (const { name } of policies.list(kind, namespace)) listener(keyOf(namespace, name));
      });
    },
  };
}
