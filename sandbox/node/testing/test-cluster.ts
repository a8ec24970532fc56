import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { createLogger } from '#runtime/log.ts';

import type { LocalClient } from '../../apiserver/local-client.ts';
import type { KubeObject } from '../../apiserver/object.ts';
import { startApiServer, type ApiServer } from '../../apiserver/server.ts';
import type { NodeAgent } from '../node-agent.ts';
import { startNode, type Node, type NodeOptions } from '../node.ts';
import { asPod, type Container, type ContainerStatus, type Pod, type PodSpec } from '../pod.ts';
import { CountedNetworks } from './pod-networks.ts';
import { until } from './until.ts';

const CHECKOUT = join(import.meta.dirname, '../../..');

/** The real API server and the node, without controllers: tests make pods themselves. */
export class TestCluster implements AsyncDisposable {
  readonly client: LocalClient;
  node: Node & NodeAgent;
  readonly networks: CountedNetworks;
  readonly state: string;
  readonly #server: ApiServer;

  private constructor(server: ApiServer, node: Node & NodeAgent, networks: CountedNetworks, state: string) {
    this.#server = server;
    this.client = server.client;
    this.node = node;
    this.networks = networks;
    this.state = state;
  }

  static async start(options: Partial<NodeOptions> = {}): Promise<TestCluster> {
    const state = mkdtempSync('/tmp/tulle-node-');
    const log = createLogger('test', 'warn');
    const server = await startApiServer({ log });
    const networks = new CountedNetworks();
    const { client } = server;
    for (const kind of ['serviceaccounts', 'configmaps']) {
      const name = kind === 'configmaps' ? 'kube-root-ca.crt' : 'default';
      const data = kind === 'configmaps' ? { data: { 'ca.crt': server.caCertificate } } : {};
      if (client.get(kind, 'default', name) === undefined) {
        await client.create(kind, { metadata: { name, namespace: 'default' }, ...data });
      }
    }
    const node = await startNode(client, { stateDirectory: state, networks, checkout: CHECKOUT, log, ...options });
    return new TestCluster(server, node, networks, state);
  }

  /** Another node in the place of the first, on another view of the API. */
  async restartNode(client: LocalClient): Promise<void> {
    await this.node.close();
    const log = createLogger('test', 'warn');
    this.node = await startNode(client, {
      stateDirectory: this.state,
      networks: this.networks,
      checkout: CHECKOUT,
      log,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node.close();
    await this.#server.close();
    this.networks[Symbol.dispose]();
    rmSync(this.state, { recursive: true, force: true });
  }

  create(name: string, spec: Partial<PodSpec>, metadata: Record<string, unknown> = {}): Promise<KubeObject> {
    return this.client.create('pods', {
      metadata: { name, namespace: 'default', ...metadata },
      spec: { terminationGracePeriodSeconds: 5, ...spec },
    });
  }

  pod(name: string): Pod | undefined {
    const found = this.client.get('pods', 'default', name);
    return found === undefined ? undefined : asPod(found);
  }

  /** The status of one container, also of init containers. */
  container(pod: string, name: string): ContainerStatus | undefined {
    const status = this.pod(pod)?.status;
    return [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].find(
      (one) => one.name === name,
    );
  }

  condition(pod: string, type: string): string | undefined {
    return this.pod(pod)?.status?.conditions?.find((one) => one.type === type)?.status;
  }

  async ready(name: string, withinMs?: number): Promise<Pod> {
    await until(`pod ${name} is ready`, () => this.condition(name, 'Ready') === 'True', withinMs);
    return asPod(this.client.get('pods', 'default', name) ?? fail(name));
  }

  async phase(name: string, phase: string, withinMs?: number): Promise<Pod> {
    await until(`pod ${name} is ${phase}`, () => this.pod(name)?.status?.phase === phase, withinMs);
    return asPod(this.client.get('pods', 'default', name) ?? fail(name));
  }

  async gone(name: string, withinMs?: number): Promise<void> {
    await until(`pod ${name} is gone`, () => this.pod(name) === undefined, withinMs);
  }

  /** `reason: message` of the pod's events. */
  events(pod: string): string[] {
    return this.client
      .list('events', 'default')
      .filter((event) => (event['involvedObject'] as { name?: string }).name === pod)
      .map((event) => `${String(event['reason'])}: ${String(event['message'])}`);
  }
}

/** A container that runs a shell script on the host image. */
export function shell(name: string, script: string, more: Partial<Container> = {}): Container {
  return { name, image: 'tulle.dev/host:1', command: ['sh', '-c', script], ...more };
}

function fail(name: string): never {
  throw new Error(`pod ${name} is gone`);
}
