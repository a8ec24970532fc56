import { isNamespaceTerminating, messageOf } from '../api-errors.ts';
import {
  conditionOf,
  deleteExactly,
  keyFor,
  keyOf,
  startQueue,
  together,
  writeStatus,
  type Again,
  type ControllerContext,
} from '../controller.ts';
import { matchesSelector, selectsEverything } from '../label-selector.ts';
import { claim, controllerOf } from '../owners.ts';
import { isFinished } from '../pods.ts';
import type { Condition, Deployment, Pod, ReplicaSet } from '../resources.ts';
import {
  allSets,
  annotationsFor,
  createNewSet,
  expiredSets,
  HashCollision,
  nextRevision,
  REVISION,
  revisionOf,
  sizeAnnotations,
  splitSets,
  type Sets,
} from './replica-sets.ts';
import {
  DESIRED_REPLICAS,
  isRolling,
  nextNewReplicas,
  proportional,
  replicasOf,
  shrinkOld,
  wantedReplicas,
  type Resize,
} from './rolling-update.ts';
import { countedStatus, hasDeadline, isComplete, rolloutStatus, setCondition, stuckInMs } from './status.ts';

const SOURCE = 'deployment-controller';

/** Rolls Deployments out through their ReplicaSets. Source: kube-controller-manager `deployment`. */
export function startDeploymentController(context: ControllerContext): Disposable {
  const { client } = context;
  const queue = startQueue(context, SOURCE, (namespace, name) => new Rollout(context, namespace, name).reconcile());
  const wake = (set: ReplicaSet): void => {
    const owner = controllerOf(set);
    if (owner?.kind === 'Deployment') queue.add(keyFor(set.metadata.namespace, owner.name));
    if (owner !== undefined) return;
    for (const deployment of client.list('deployments.apps', set.metadata.namespace)) {
      if (matchesSelector(deployment.spec.selector, set.metadata.labels)) queue.add(keyOf(deployment));
    }
  };
  const wakeRecreating = (pod: Pod): void => {
    const owner = controllerOf(pod);
    const set = owner && client.get('replicasets.apps', pod.metadata.namespace, owner.name);
    if (set !== undefined) wake(set);
  };
  return together(
    queue,
    client.watch('deployments.apps', {
      apply: (deployment) => queue.add(keyOf(deployment)),
      delete: (deployment) => queue.add(keyOf(deployment)),
    }),
    client.watch('replicasets.apps', {
      apply(set, old) {
        if (old !== undefined && controllerOf(old)?.uid !== controllerOf(set)?.uid) wake(old);
        wake(set);
      },
      delete: wake,
    }),
    // `Recreate` waits until the last old pod is gone or has ended.
    client.watch('pods', {
      apply: (pod, old) => void (old !== undefined && isFinished(pod) && !isFinished(old) && wakeRecreating(pod)),
      delete: wakeRecreating,
    }),
  );
}

/** One pass over one Deployment. */
class Rollout {
  readonly #context: ControllerContext;
  readonly #namespace: string;
  readonly #name: string;

  constructor(context: ControllerContext, namespace: string, name: string) {
    this.#context = context;
    this.#namespace = namespace;
    this.#name = name;
  }

  async reconcile(): Promise<Again> {
    const { client, clock } = this.#context;
    let deployment = client.get('deployments.apps', this.#namespace, this.#name);
    if (deployment === undefined) return undefined;
    if (selectsEverything(deployment.spec.selector)) {
      const message = 'This deployment is selecting all pods. A non-empty selector is required.';
      client.event(deployment, 'Warning', 'SelectingAll', message, SOURCE);
      return undefined;
    }
    const owned = await claim(client, 'replicasets.apps', deployment, deployment.spec.selector);
    const sets = splitSets(deployment, owned);
    if (deployment.metadata.deletionTimestamp !== undefined) {
      await this.#writeStatus(deployment, countedStatus(deployment, sets, clock.now()));
      return undefined;
    }
    deployment = await this.#notePause(deployment);
    if (deployment.spec.paused === true || this.#isScaled(deployment, owned)) {
      return this.#resize(deployment, sets);
    }
    return isRolling(deployment) ? this.#roll(deployment, sets) : this.#recreate(deployment, sets);
  }

  /** A paused rollout must not run into its deadline. */
  async #notePause(deployment: Deployment): Promise<Deployment> {
    const conditions = deployment.status?.conditions ?? [];
    const reason = conditionOf(conditions, 'Progressing')?.reason;
    if (!hasDeadline(deployment) || reason === 'ProgressDeadlineExceeded') return deployment;
    const isPaused = deployment.spec.paused === true;
    if (isPaused === (reason === 'DeploymentPaused')) return deployment;
    const news = isPaused
      ? ({ reason: 'DeploymentPaused', message: 'Deployment is paused' } as const)
      : ({ reason: 'DeploymentResumed', message: 'Deployment is resumed' } as const);
    return this.#addCondition(deployment, { type: 'Progressing', status: 'Unknown', ...news });
  }

  #isScaled(deployment: Deployment, owned: readonly ReplicaSet[]): boolean {
    const desired = String(wantedReplicas(deployment));
    const active = owned.filter((set) => replicasOf(set) > 0);
    // `Recreate` empties old sets before it looks at sizes.
    if (!isRolling(deployment) && active.length > 1) return false;
    return active.some((set) => (set.metadata.annotations?.[DESIRED_REPLICAS] ?? desired) !== desired);
  }

  /** Follows a change of size, or a pause: no new template is rolled out. */
  async #resize(deployment: Deployment, found: Sets): Promise<Again> {
    const { clock } = this.#context;
    const wanted = wantedReplicas(deployment);
    const { deployment: current, sets } = await this.#withNewSet(deployment, found, false);
    const active = allSets(sets).filter((set) => replicasOf(set) > 0);
    const only =
      active.length === 0 ? (sets.newSet ?? sets.oldSets.at(-1)) : active.length === 1 ? active[0] : undefined;
    if (only !== undefined) await this.#scale(current, { set: only, replicas: wanted });
    else if (isSaturated(current, sets.newSet)) await this.#scaleAll(current, toZero(sets.oldSets));
    else if (isRolling(current)) await this.#scaleAll(current, proportional(current, active));
    if (current.spec.paused === true) await this.#cleanUp(current, sets);
    const after = this.#reread(current);
    await this.#writeStatus(after.deployment, countedStatus(after.deployment, after.sets, clock.now()));
    // What was resized wakes this key again, and then the rollout goes on.
    return undefined;
  }

  async #roll(deployment: Deployment, found: Sets): Promise<Again> {
    const { deployment: current, sets } = await this.#withNewSet(deployment, found, true);
    const { newSet, oldSets } = sets;
    if (newSet === undefined) return undefined;
    const replicas = nextNewReplicas(current, replicasOf(newSet), oldSets);
    const hasGrown = await this.#scale(current, { set: newSet, replicas });
    const hasShrunk = !hasGrown && (await this.#scaleAll(current, shrinkOld(current, newSet, oldSets)));
    if (!hasGrown && !hasShrunk && isComplete(current, current.status ?? {})) await this.#cleanUp(current, sets);
    return this.#finish(current);
  }

  async #recreate(deployment: Deployment, found: Sets): Promise<Again> {
    const { deployment: known, sets } = await this.#withNewSet(deployment, found, false);
    if (await this.#scaleAll(known, toZero(sets.oldSets))) return this.#finish(known);
    if (this.#hasOldPods(sets)) return this.#finish(known);
    const { deployment: current, sets: both } = await this.#withNewSet(known, sets, true);
    if (both.newSet !== undefined) await this.#scale(current, { set: both.newSet, replicas: wantedReplicas(current) });
    if (isComplete(current, current.status ?? {})) await this.#cleanUp(current, both);
    return this.#finish(current);
  }

  #hasOldPods({ oldSets }: Sets): boolean {
    const old = new Set(oldSets.map((set) => set.metadata.uid));
    return this.#context.client
      .list('pods', this.#namespace)
      .some((pod) => !isFinished(pod) && old.has(controllerOf(pod)?.uid ?? ''));
  }

  async #finish(deployment: Deployment): Promise<Again> {
    const { clock } = this.#context;
    const { deployment: current, sets } = this.#reread(deployment);
    const status = rolloutStatus(current, sets, clock.now());
    await this.#writeStatus(current, status);
    const waitMs = stuckInMs(current, status, clock.now());
    return waitMs === undefined ? undefined : Math.max(0, waitMs) + 1000;
  }

  /** What the store has after our own writes; the generation stays the one that was acted on. */
  #reread(deployment: Deployment): { deployment: Deployment; sets: Sets } {
    const { client } = this.#context;
    const owned = client
      .list('replicasets.apps', this.#namespace)
      .filter((set) => controllerOf(set)?.uid === deployment.metadata.uid);
    return { deployment, sets: splitSets(deployment, owned) };
  }

  /** Gives the current template's ReplicaSet its revision, and makes the set when asked to and there is none. */
  async #withNewSet(
    deployment: Deployment,
    { newSet, oldSets }: Sets,
    mayCreate: boolean,
  ): Promise<{ deployment: Deployment; sets: Sets }> {
    const { client } = this.#context;
    if (newSet === undefined && !mayCreate) return { deployment, sets: { newSet, oldSets } };
    if (newSet === undefined) return this.#create(deployment, oldSets);
    const annotations = annotationsFor(deployment, newSet.metadata.annotations ?? {}, nextRevision(oldSets));
    const { minReadySeconds = 0 } = deployment.spec;
    const isCurrent =
      Object.entries(annotations).every(([key, value]) => newSet.metadata.annotations?.[key] === value) &&
      (newSet.spec.minReadySeconds ?? 0) === minReadySeconds;
    const set = isCurrent
      ? newSet
      : await client.update('replicasets.apps', {
          ...newSet,
          metadata: { ...newSet.metadata, annotations },
          spec: { ...newSet.spec, minReadySeconds },
        });
    let current = await this.#writeRevision(deployment, set);
    if (hasDeadline(current) && conditionOf(current.status?.conditions, 'Progressing') === undefined) {
      const message = `Found new replica set "${set.metadata.name}"`;
      const news = { type: 'Progressing', status: 'True', reason: 'FoundNewReplicaSet', message } as const;
      current = await this.#addCondition(current, news);
    }
    return { deployment: current, sets: { newSet: set, oldSets } };
  }

  async #create(
    deployment: Deployment,
    oldSets: readonly ReplicaSet[],
  ): Promise<{ deployment: Deployment; sets: Sets }> {
    const { client } = this.#context;
    try {
      const set = await createNewSet(client, deployment, oldSets);
      const size = replicasOf(set);
      if (size > 0) this.#announce(deployment, `Scaled up replica set ${set.metadata.name} from 0 to ${size}`);
      let current = await this.#writeRevision(deployment, set);
      if (hasDeadline(current)) {
        const message = `Created new replica set "${set.metadata.name}"`;
        const news = { type: 'Progressing', status: 'True', reason: 'NewReplicaSetCreated', message } as const;
        current = await this.#addCondition(current, news);
      }
      return { deployment: current, sets: { newSet: set, oldSets } };
    } catch (error) {
      if (isNamespaceTerminating(error)) return { deployment, sets: { newSet: undefined, oldSets } };
      await this.#noteFailedCreate(deployment, error);
      throw error;
    }
  }

  async #noteFailedCreate(deployment: Deployment, error: unknown): Promise<void> {
    if (error instanceof HashCollision) {
      const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
      await this.#writeStatus(deployment, { ...deployment.status, collisionCount });
    } else if (hasDeadline(deployment)) {
      const message = `Failed to create new replica set: ${messageOf(error)}`;
      const news = { type: 'Progressing', status: 'False', reason: 'ReplicaSetCreateError', message } as const;
      await this.#addCondition(deployment, news);
    }
  }

  async #writeRevision(deployment: Deployment, set: ReplicaSet): Promise<Deployment> {
    const revision = String(revisionOf(set));
    if (deployment.metadata.annotations?.[REVISION] === revision) return deployment;
    const annotations = { ...deployment.metadata.annotations, [REVISION]: revision };
    return this.#context.client.update('deployments.apps', {
      ...deployment,
      metadata: { ...deployment.metadata, annotations },
    });
  }

  #addCondition(
    deployment: Deployment,
    news: Pick<Condition, 'type' | 'status' | 'reason' | 'message'>,
  ): Promise<Deployment> {
    const conditions = setCondition(deployment.status?.conditions ?? [], news, this.#context.clock.now());
    return this.#writeStatus(deployment, { ...deployment.status, conditions });
  }

  #writeStatus(deployment: Deployment, status: NonNullable<Deployment['status']>): Promise<Deployment> {
    return writeStatus(this.#context.client, 'deployments.apps', deployment, status);
  }

  /** Sets a size and what the set remembers of its Deployment's; true when the size changed. */
  async #scale(deployment: Deployment, { set, replicas }: Resize): Promise<boolean> {
    const before = replicasOf(set);
    const remembered = sizeAnnotations(deployment);
    const isRemembered = Object.entries(remembered).every(([key, value]) => set.metadata.annotations?.[key] === value);
    if (before === replicas && (isRemembered || replicas === 0)) return false;
    const annotations = { ...set.metadata.annotations, ...remembered };
    await this.#context.client.update('replicasets.apps', {
      ...set,
      metadata: { ...set.metadata, annotations },
      spec: { ...set.spec, replicas },
    });
    if (before === replicas) return false;
    const direction = before < replicas ? 'up' : 'down';
    this.#announce(deployment, `Scaled ${direction} replica set ${set.metadata.name} from ${before} to ${replicas}`);
    return true;
  }

  async #scaleAll(deployment: Deployment, resizes: readonly Resize[]): Promise<boolean> {
    let hasChanged = false;
    for (const resize of resizes) hasChanged = (await this.#scale(deployment, resize)) || hasChanged;
    return hasChanged;
  }

  #announce(deployment: Deployment, message: string): void {
    this.#context.client.event(deployment, 'Normal', 'ScalingReplicaSet', message, SOURCE);
  }

  async #cleanUp(deployment: Deployment, { oldSets }: Sets): Promise<void> {
    for (const set of expiredSets(deployment, oldSets)) {
      await deleteExactly(this.#context.client, 'replicasets.apps', set);
    }
  }
}

function toZero(sets: readonly ReplicaSet[]): readonly Resize[] {
  return sets.filter((set) => replicasOf(set) > 0).map((set) => ({ set, replicas: 0 }));
}

/** The new set has all its pods, so the old ones may go without looking at availability. */
function isSaturated(deployment: Deployment, newSet: ReplicaSet | undefined): boolean {
  if (newSet === undefined) return false;
  const wanted = wantedReplicas(deployment);
  return (
    replicasOf(newSet) === wanted &&
    newSet.metadata.annotations?.[DESIRED_REPLICAS] === String(wanted) &&
    (newSet.status?.availableReplicas ?? 0) === wanted
  );
}
