import { isAlreadyExists } from '../api-errors.ts';
import { byCreation, deleteExactly } from '../controller.ts';
import { safeHash } from '../hash.ts';
import { semanticText } from '../json.ts';
import { claim, controllerReference } from '../owners.ts';
import type { AnyObject, ControllerRevision, LabelSelector, PodTemplate } from '../resources.ts';
import type { TypedClient } from '../typed-client.ts';

const RESOURCE = 'controllerrevisions.apps';
export const REVISION_HASH = 'controller-revision-hash';

/** A StatefulSet or DaemonSet, as far as its history goes. */
export type Revised = AnyObject & {
  readonly spec: {
    readonly selector: LabelSelector;
    readonly template: PodTemplate;
    readonly revisionHistoryLimit?: number;
  };
  readonly status?: { readonly collisionCount?: number };
};

/** The templates an object has had, oldest first; `update` is the one for its template now and the last of them. */
export type History = {
  readonly all: readonly ControllerRevision[];
  readonly update: ControllerRevision;
  readonly collisionCount: number;
};

/** What a revision stores, in the form of a patch that kubectl sends back to undo a rollout. */
function dataOf(template: PodTemplate): unknown {
  return { spec: { template: { ...template, $patch: 'replace' } } };
}

/** The template a revision remembers. */
export function templateOf(revision: ControllerRevision): PodTemplate {
  const { template } = (revision.data as { spec: { template: PodTemplate & { $patch?: string } } }).spec;
  const { $patch: _, ...rest } = template;
  return rest;
}

/** Hash that names a revision and, in DaemonSets, labels its pods. */
export function hashOf(revision: ControllerRevision): string {
  return revision.metadata.labels?.[REVISION_HASH] ?? revision.metadata.name;
}

function byRevision(a: ControllerRevision, b: ControllerRevision): number {
  return a.revision - b.revision || byCreation(a, b);
}

/**
 * Brings the history in line with the template: a template never seen before becomes a new revision, an earlier one the
 * newest again. Source: kube-controller-manager `history`.
 */
export async function reviseHistory(client: TypedClient, owner: Revised): Promise<History> {
  const found = await claim(client, RESOURCE, owner, owner.spec.selector);
  const all = found.sort(byRevision);
  const text = semanticText(owner.spec.template);
  const same = all.filter((revision) => semanticText(templateOf(revision)) === text).at(-1);
  const last = all.at(-1);
  let collisionCount = owner.status?.collisionCount ?? 0;
  if (same !== undefined && same === last) return { all, update: same, collisionCount };
  const number = (last?.revision ?? 0) + 1;
  if (same !== undefined) {
    const update = await client.update(RESOURCE, { ...same, revision: number });
    return { all: [...all.filter((revision) => revision !== same), update], update, collisionCount };
  }
  for (;;) {
    try {
      const update = await createRevision(client, owner, number, collisionCount);
      return { all: [...all, update], update, collisionCount };
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      collisionCount += 1;
    }
  }
}

function createRevision(
  client: TypedClient,
  owner: Revised,
  revision: number,
  collisionCount: number,
): Promise<ControllerRevision> {
  const { name, namespace = '', annotations = {} } = owner.metadata;
  const { template } = owner.spec;
  const hash = safeHash(template, collisionCount);
  return client.create(RESOURCE, {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name: `${name}-${hash}`,
      namespace,
      labels: { ...template.metadata?.labels, ...owner.spec.selector.matchLabels, [REVISION_HASH]: hash },
      annotations: { ...annotations },
      ownerReferences: [controllerReference(owner)],
    },
    data: dataOf(template),
    revision,
  });
}

/** Deletes the oldest revisions that nothing uses, beyond `revisionHistoryLimit`. `used` holds names. */
export async function truncateHistory(
  client: TypedClient,
  owner: Revised,
  history: History,
  used: ReadonlySet<string>,
): Promise<void> {
  const unused = history.all.filter(
    ({ metadata }) => metadata.name !== history.update.metadata.name && !used.has(metadata.name),
  );
  const surplus = Math.max(0, unused.length - (owner.spec.revisionHistoryLimit ?? 10));
  for (const revision of unused.slice(0, surplus)) await deleteExactly(client, RESOURCE, revision);
}
