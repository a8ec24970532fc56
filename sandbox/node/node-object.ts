import { arch, release, totalmem } from 'node:os';
import { isDeepStrictEqual } from 'node:util';

import type { Logger } from '#runtime/log.ts';

import type { LocalClient } from '../apiserver/local-client.ts';
import type { KubeObject, NewObject } from '../apiserver/object.ts';
import { StatusError } from '../apiserver/status-error.ts';
import { wireTime } from './pod.ts';

const LEASE_NAMESPACE = 'kube-node-lease';
const LEASE_SECONDS = 40;
const RENEW_MS = 10_000;
const FIRST_RETRY_MS = 500;
const PODS_MAX = 110;

/** Facts of the node that its object shows. */
export type NodeFacts = {
  readonly name: string;
  readonly ip: string;
  readonly version: string; // of the API server, such as `v1.32.0`
  readonly cpus: number;
  readonly bootID: string; // another one after each start
};

/** Keeps the Node object and its Lease. */
export class NodeRegistration implements Disposable {
  readonly #client: LocalClient;
  readonly #facts: NodeFacts;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(client: LocalClient, facts: NodeFacts, log: Logger) {
    this.#client = client;
    this.#facts = facts;
    this.#log = log;
  }

  /** Resolves when the Node object is there and Ready; the Lease follows as soon as its namespace exists. */
  async start(): Promise<void> {
    await this.#register();
    await this.#renew();
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** What the controller of nodes says of one that does not answer, without its delay of 40 s. */
  async lost(): Promise<void> {
    const node = this.#client.get('nodes', undefined, this.#facts.name);
    if (node === undefined) return;
    const time = wireTime(Date.now());
    const status = node['status'] as { readonly conditions?: readonly object[] };
    const conditions = (status.conditions ?? []).map((condition) => ({
      ...condition,
      status: 'Unknown',
      reason: 'NodeStatusUnknown',
      message: 'Kubelet stopped posting node status.',
      lastTransitionTime: time,
    }));
    await this.#client.update('nodes', { ...node, status: { ...status, conditions } }, 'status');
  }

  async #register(): Promise<void> {
    const { name } = this.#facts;
    const wanted = nodeObject(this.#facts, Date.now());
    const found = this.#client.get('nodes', undefined, name) ?? (await this.#createNode(wanted));
    const current = this.#client.get('nodes', undefined, name) ?? found;
    const labels = { ...current.metadata.labels, ...wanted.metadata.labels };
    const labelled = isDeepStrictEqual(labels, current.metadata.labels)
      ? current
      : await this.#client.patch('nodes', undefined, name, 'merge', { metadata: { labels } });
    await this.#client.update('nodes', { ...labelled, status: wanted['status'] }, 'status');
  }

  async #createNode(wanted: NewObject): Promise<KubeObject> {
    return this.#client.create('nodes', wanted);
  }

  async #renew(): Promise<void> {
    if (this.#isClosed) return;
    let nextMs = RENEW_MS;
    try {
      await this.#writeLease();
    } catch (error) {
      nextMs = FIRST_RETRY_MS;
      const isEarly = error instanceof StatusError && (error.code === 404 || error.code === 409);
      if (!isEarly) this.#log.warn({ err: error }, 'the lease of the node was not renewed');
    }
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#renew(), nextMs);
    this.#timer.unref();
  }

  async #writeLease(): Promise<void> {
    const { name } = this.#facts;
    const renewTime = new Date().toISOString().replace('Z', '000Z'); // MicroTime
    const spec = { holderIdentity: name, leaseDurationSeconds: LEASE_SECONDS, renewTime };
    const resource = 'leases.coordination.k8s.io';
    const found = this.#client.get(resource, LEASE_NAMESPACE, name);
    if (found !== undefined) {
      await this.#client.update(resource, { ...found, spec: { ...(found['spec'] as object), ...spec } });
      return;
    }
    const node = this.#client.get('nodes', undefined, name);
    await this.#client.create(resource, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        name,
        namespace: LEASE_NAMESPACE,
        ...(node === undefined
          ? {}
          : { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid: node.metadata.uid }] }),
      },
      spec,
    });
  }
}

function nodeObject(facts: NodeFacts, nowMs: number): NewObject {
  const machine = arch() === 'x64' ? 'amd64' : arch();
  const capacity = {
    cpu: String(facts.cpus),
    memory: `${Math.floor(totalmem() / 1024)}Ki`,
    pods: String(PODS_MAX),
    'ephemeral-storage': '10Gi',
  };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: facts.name,
      labels: {
        'kubernetes.io/hostname': facts.name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': machine,
        'beta.kubernetes.io/os': 'linux',
        'beta.kubernetes.io/arch': machine,
        'node-role.kubernetes.io/control-plane': '',
      },
    },
    spec: {},
    status: {
      capacity,
      allocatable: capacity,
      conditions: nodeConditions(nowMs),
      addresses: [
        { type: 'InternalIP', address: facts.ip },
        { type: 'Hostname', address: facts.name },
      ],
      daemonEndpoints: { kubeletEndpoint: { Port: 0 } },
      nodeInfo: {
        architecture: machine,
        operatingSystem: 'linux',
        osImage: 'Tulle sandbox',
        kernelVersion: release(),
        kubeletVersion: facts.version,
        kubeProxyVersion: facts.version,
        containerRuntimeVersion: 'tulle://sandbox',
        bootID: facts.bootID,
        machineID: '',
        systemUUID: '',
      },
    },
  };
}

function nodeConditions(nowMs: number): object[] {
  const time = wireTime(nowMs);
  const one = (type: string, status: string, reason: string, message: string): object => ({
    type,
    status,
    reason,
    message,
    lastHeartbeatTime: time,
    lastTransitionTime: time,
  });
  return [
    one('MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
    one('DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    one('PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
    one('Ready', 'True', 'KubeletReady', 'kubelet is posting ready status'),
  ];
}
