import { isNotFound, messageOf } from './api-errors.ts';
import {
  keyOf,
  startQueue,
  timestamp,
  together,
  withCondition,
  writeStatus,
  type Again,
  type ControllerContext,
} from './controller.ts';
import type { Condition, Namespace } from './resources.ts';
import type { ServedTypes } from './served-types.ts';

const FINALIZER = 'kubernetes';
const LOOK_AGAIN_MS = 5000;

/** What is left in a namespace: instances by resource, and those that a finalizer holds by finalizer. */
type Remains = {
  readonly resources: ReadonlyMap<string, number>;
  readonly finalizers: ReadonlyMap<string, number>;
  readonly failures: readonly string[];
};

/** Empties namespaces that are being deleted, whatever is in them, and then lets them go. */
export function startNamespaceController(context: ControllerContext, served: ServedTypes): Disposable {
  const { client } = context;
  const queue = startQueue(context, 'namespace-controller', (_, name) => reconcile(context, served, name));
  const wake = (name: string | undefined): void => {
    if (name === undefined) return;
    if (client.get('namespaces', undefined, name)?.metadata.deletionTimestamp !== undefined) queue.add(`/${name}`);
  };
  return together(
    queue,
    client.watch('namespaces', {
      apply: (namespace) => void (namespace.metadata.deletionTimestamp !== undefined && queue.add(keyOf(namespace))),
      delete: () => {},
    }),
    served.watchAll({ apply: () => {}, delete: (_, object) => wake(object.metadata.namespace) }),
  );
}

async function reconcile(context: ControllerContext, served: ServedTypes, name: string): Promise<Again> {
  const { client, clock } = context;
  const namespace = client.get('namespaces', undefined, name);
  if (namespace?.metadata.deletionTimestamp === undefined) return undefined;
  const finalizers = namespace.spec?.finalizers ?? [];
  if (!finalizers.includes(FINALIZER)) return undefined;
  const failures = await deleteContent(context, served, name);
  const remains = remainsOf(context, served, name, failures);
  const conditions = deletionConditions(namespace, remains, clock.now());
  const current = await writeStatus(client, 'namespaces', namespace, { ...namespace.status, conditions });
  if (remains.resources.size > 0) return LOOK_AGAIN_MS;
  const left = finalizers.filter((finalizer) => finalizer !== FINALIZER);
  await client.update('namespaces', { ...current, spec: { ...current.spec, finalizers: left } }, 'finalize');
  return undefined;
}

async function deleteContent({ local }: ControllerContext, served: ServedTypes, name: string): Promise<string[]> {
  const failures: string[] = [];
  for (const type of served.all().filter(({ isNamespaced }) => isNamespaced)) {
    for (const object of local.list(type.resource, name)) {
      if (object.metadata.deletionTimestamp !== undefined) continue;
      const { uid } = object.metadata;
      try {
        await local.delete(type.resource, name, object.metadata.name, { uid, propagationPolicy: 'Background' });
      } catch (error) {
        if (!isNotFound(error)) failures.push(messageOf(error));
      }
    }
  }
  return failures;
}

function remainsOf(
  { local }: ControllerContext,
  served: ServedTypes,
  name: string,
  failures: readonly string[],
): Remains {
  const resources = new Map<string, number>();
  const finalizers = new Map<string, number>();
  for (const type of served.all().filter(({ isNamespaced }) => isNamespaced)) {
    const objects = local.list(type.resource, name);
    if (objects.length > 0) resources.set(type.resource, objects.length);
    for (const finalizer of objects.flatMap(({ metadata }) => metadata.finalizers ?? [])) {
      finalizers.set(finalizer, (finalizers.get(finalizer) ?? 0) + 1);
    }
  }
  return { resources, finalizers, failures };
}

function deletionConditions(namespace: Namespace, remains: Remains, nowMs: number): readonly Condition[] {
  const { resources, finalizers, failures } = remains;
  const list = (counts: ReadonlyMap<string, number>, verb: string): string =>
    [...counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, count]) => `${what}${verb} ${count} resource instances`)
      .join(', ');
  const facts: readonly (readonly [type: string, isTrue: boolean, reason: string, message: string])[] = [
    ['NamespaceDeletionDiscoveryFailure', false, 'ResourcesDiscovered', 'All resources successfully discovered'],
    [
      'NamespaceDeletionGroupVersionParsingFailure',
      false,
      'ParsedGroupVersions',
      'All legacy kube types successfully parsed',
    ],
    failures.length === 0
      ? [
          'NamespaceDeletionContentFailure',
          false,
          'ContentDeleted',
          'All content successfully deleted, may be waiting on finalization',
        ]
      : [
          'NamespaceDeletionContentFailure',
          true,
          'ContentDeletionFailed',
          `Failed to delete all resource types: ${failures[0]}`,
        ],
    resources.size === 0
      ? ['NamespaceContentRemaining', false, 'ContentRemoved', 'All content successfully removed']
      : [
          'NamespaceContentRemaining',
          true,
          'SomeResourcesRemain',
          `Some resources are remaining: ${list(resources, '. has')}`,
        ],
    finalizers.size === 0
      ? ['NamespaceFinalizersRemaining', false, 'ContentHasNoFinalizers', 'All content-preserving finalizers finished']
      : [
          'NamespaceFinalizersRemaining',
          true,
          'SomeFinalizersRemain',
          `Some content in the namespace has finalizers remaining: ${list(finalizers, ' in')}`,
        ],
  ];
  return facts.reduce<readonly Condition[]>(
    (conditions, [type, isTrue, reason, message]) =>
      withCondition(conditions, {
        type,
        status: isTrue ? 'True' : 'False',
        reason,
        message,
        lastTransitionTime: timestamp(nowMs),
      }),
    namespace.status?.conditions ?? [],
  );
}
