import { lookup } from 'node:dns/promises';
import { isIPv4 } from 'node:net';
import { KubeClient } from '#k8s/client.ts';
import { Informer } from '#k8s/informer.ts';
import { asList, asObject, asText } from '#k8s/json.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import { ENDPOINT_SLICES, type EndpointSlice } from '#k8s/resources/endpoint-slice.ts';
import { keyOf, parseMetadata } from '#k8s/resources/metadata.ts';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import type { Logger } from '#runtime/log.ts';
import { CLUSTER_NAME, MIRRORED } from '../names.ts';
import type { Link } from './link.ts';
import { LocalMirrors } from './local-mirrors.ts';
import { isServiceAsWanted, isSliceAsWanted, mirrorOf, type Mirror } from './mirror.ts';
import { GatewayProbe } from './probe.ts';
import { remoteConnection } from './remote-connection.ts';

export type ClusterMirrorOptions = {
  readonly link: Link;
  readonly local: KubeClient;
  readonly log: Logger;
  readonly probed: (isSuccess: boolean, latencyMs: number) => void;
};

const SETTLE_MS = 200;
const RETRY_MS = 2000;
const LOOK_AGAIN_MS = 30_000;

/** What a Link's status says. */
export type LinkState = {
  readonly isAlive: boolean;
  readonly gatewayReason: string;
  readonly mirrored: number;
  readonly problems: readonly string[];
};

/** Mirrors the exported Services of one linked cluster, as long as the Link is there. Level-triggered: any change brings all in order. */
export class ClusterMirror implements Disposable {
  readonly #options: ClusterMirrorOptions;
  readonly #mirrors: LocalMirrors;
  readonly #services = new ResourceStore<Service>();
  readonly #slices = new ResourceStore<EndpointSlice>();
  readonly #probe: GatewayProbe;
  #remote: KubeClient | undefined;
  #informers: readonly { readonly isSynced: boolean; [Symbol.dispose](): void }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isRunning = false;
  #isDirty = false;
  #isClosed = false;
  #gatewayReason = 'not probed yet';
  #remoteProblem: string | undefined;
  #known: { readonly mirrored: number; readonly problems: readonly string[] } = { mirrored: 0, problems: [] };

  constructor(options: ClusterMirrorOptions) {
    this.#options = options;
    const { link, local, log, probed } = options;
    this.#mirrors = new LocalMirrors(local);
    this.#probe = new GatewayProbe({
      link,
      observe: ({ isSuccess, latencyMs }) => {
        if (isSuccess) this.#gatewayReason = 'the gateway answers';
        probed(isSuccess, latencyMs);
      },
      changed: (isAlive, reason) => {
        this.#gatewayReason = reason;
        if (isAlive) log.info({ link: link.name }, `the gateway of ${link.cluster} is back`);
        else log.warn({ link: link.name }, `the gateway of ${link.cluster} is dead: ${reason}`);
        this.#touch(0);
      },
    });
  }

  get link(): Link {
    return this.#options.link;
  }

  get state(): LinkState {
    const { link } = this.#options;
    const remote = this.#remoteProblem === undefined ? [] : [this.#remoteProblem];
    return {
      isAlive: this.#probe.isAlive,
      gatewayReason: this.#gatewayReason,
      mirrored: this.#known.mirrored,
      problems: [...link.problems, ...remote, ...this.#known.problems],
    };
  }

  /** The API of the linked cluster; absent while its credentials do not work. */
  get remote(): KubeClient | undefined {
    return this.#remote;
  }

  /** @param kubeconfig  of the linked cluster, from the Link's Secret */
  start(kubeconfig: string): void {
    const { link, log } = this.#options;
    if (link.problems.length > 0) return;
    let remote: KubeClient;
    try {
      remote = new KubeClient(remoteConnection(kubeconfig));
    } catch (error) {
      this.#remoteProblem = `Secret ${link.credentialsSecret}: ${error instanceof Error ? error.message : String(error)}`;
      return;
    }
    this.#remote = remote;
    const observe = (step: { readonly kind: string; readonly error?: unknown }): void => {
      if (step.kind === 'failure') {
        this.#remoteProblem = `the API of ${link.cluster} does not answer: ${step.error instanceof Error ? step.error.message : String(step.error)}`;
        log.warn({ link: link.name, err: step.error }, 'the API of a linked cluster does not answer');
      } else this.#remoteProblem = undefined;
      this.#touch(SETTLE_MS);
    };
    const selector = link.selector;
    this.#informers = [
      new Informer({
        client: remote,
        kind: SERVICES,
        index: this.#services,
        ...(selector !== undefined && { labelSelector: selector }),
        observe,
      }),
      new Informer({ client: remote, kind: ENDPOINT_SLICES, index: this.#slices, observe }),
    ].map((informer) => {
      informer.start();
      return informer;
    });
    this.#probe.start();
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#probe[Symbol.dispose]();
    for (const informer of this.#informers) informer[Symbol.dispose]();
    this.#remote?.[Symbol.dispose]();
  }

  #touch(delayMs: number): void {
    if (this.#isClosed) return;
    if (this.#isRunning) {
      this.#isDirty = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#run(), delayMs);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    this.#isDirty = false;
    let nextMs = LOOK_AGAIN_MS;
    try {
      await this.#reconcile();
    } catch (error) {
      nextMs = RETRY_MS;
      this.#options.log.warn({ link: this.link.name, err: error }, 'cannot bring the mirrored Services in order');
    }
    this.#isRunning = false;
    this.#touch(this.#isDirty ? SETTLE_MS : nextMs);
  }

  async #reconcile(): Promise<void> {
    const { link, local } = this.#options;
    // Half of the other cluster would take mirrors away that are fine.
    if (!this.#informers.every((informer) => informer.isSynced)) return;
    const problems: string[] = [];
    const namespaces = await namesOf(local, '/api/v1/namespaces');
    const gateways = this.#probe.isAlive ? await this.#gateways() : [];
    const wanted = new Map<string, Mirror>();
    for (const remote of link.selector === undefined ? [] : this.#services.values()) {
      // Mirrors of mirrors would lead round in a circle.
      if (remote.labels[MIRRORED] !== undefined) continue;
      const mirror = mirrorOf(remote, link, gateways, this.#hasEndpoints(remote));
      if (namespaces.has(remote.namespace)) wanted.set(keyOf(remote.namespace, mirror.service.metadata.name), mirror);
      else
        problems.push(
          `Service ${keyOf(remote.namespace, remote.name)} is not mirrored: there is no namespace ${remote.namespace} here`,
        );
    }
    const selector = `${MIRRORED}=true,${CLUSTER_NAME}=${link.cluster}`;
    const [services, slices] = await Promise.all([this.#mirrors.services(selector), this.#mirrors.slices(selector)]);
    for (const [key, mirror] of wanted) {
      const problem =
        (await this.#mirrors.put('services', services.get(key), mirror.service, isServiceAsWanted)) ??
        (await this.#mirrors.put('endpointslices', slices.get(key), mirror.slice, isSliceAsWanted));
      if (problem !== undefined) problems.push(problem);
      services.delete(key);
      slices.delete(key);
    }
    await this.#mirrors.remove('services', services.keys());
    await this.#mirrors.remove('endpointslices', slices.keys());
    this.#known = { mirrored: wanted.size, problems };
  }

  async #gateways(): Promise<readonly string[]> {
    const found = await Promise.all(
      this.link.gatewayAddresses.map(async (address) =>
        isIPv4(address) ? [address] : (await lookup(address, { all: true, family: 4 })).map((one) => one.address),
      ),
    );
    return [...new Set(found.flat())].sort();
  }

  #hasEndpoints({ namespace, name }: Service): boolean {
    for (const slice of this.#slices.values()) {
      if (slice.namespace !== namespace || slice.serviceName !== name) continue;
      if (slice.endpoints.some(({ isReady, addresses }) => isReady && addresses.length > 0)) return true;
    }
    return false;
  }
}

async function namesOf(client: KubeClient, path: string): Promise<ReadonlySet<string>> {
  const { items } = asObject(await client.request({ method: 'GET', path }));
  return new Set(asList(items).flatMap((item) => asText(parseMetadata(item)?.name) ?? []));
}
