import { asList, asObject, asText, type JsonObject } from '#k8s/json.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';
import { isTerminating } from '#k8s/resources/metadata.ts';
import { PODS } from '#k8s/resources/pod.ts';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import { isConfiguration } from '../../injector/annotations.ts';
import { decide, PROXY_CONTAINER } from '../../injector/decision.ts';
import { NAMESPACES, Namespaces } from '../../injector/namespaces.ts';
import { allContainers, parsePod, PodError } from '../../injector/pod.ts';
import { EgressNetworks } from '../policy/egress-networks.ts';
import { OutboundIndex } from '../policy/outbound-index.ts';
import { PolicyStore } from '../policy/policy-store.ts';
import { RouteIndex } from '../policy/route-index.ts';
import { externalWorkloadKind, type ExternalWorkload } from '../dialects/external-workload.ts';
import { TrafficObjects, trafficKinds } from '../policy/traffic-objects.ts';
import type { Subject } from '../diagnosis/diagnosis.ts';
import { GATEWAYS } from './reader.ts';
import { ServiceAccounts } from './service-accounts.ts';
import { outboundSettings, type ClusterContext, type Configuration, type Workload } from './configuration.ts';

/** What objects are read with. */
export type AnalysisContext = ClusterContext & {
  readonly defaultNamespace: string; // of objects that name none
  readonly isRedirectedByNode: boolean; // pods need no capability for the redirect
  readonly isWholeCluster: boolean; // what is not among the objects does not exist; else nobody knows
};

/** An object as it was given. */
export type GivenObject = Subject & { readonly apiVersion: string; readonly object: JsonObject };

/** Where the pod template is, by kind. */
const TEMPLATES: Readonly<Record<string, readonly string[]>> = {
  Deployment: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  ReplicationController: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  Job: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
  Pod: [],
};

const CLUSTER_KINDS: ReadonlySet<string> = new Set([
  'Namespace',
  'CustomResourceDefinition',
  'Node',
  'ClusterRole',
  'ClusterRoleBinding',
]);

/** All objects that were given, kept by the stores of the control plane. */
export class Inventory implements Configuration {
  readonly context: AnalysisContext;
  readonly given: readonly GivenObject[];
  readonly services = new ResourceStore<Service>();
  readonly externalWorkloads = new ResourceStore<ExternalWorkload>();
  readonly routes = new RouteIndex(this.services);
  readonly policies = new PolicyStore(this.routes);
  readonly traffic: TrafficObjects;
  readonly outbound: OutboundIndex;
  readonly egress: EgressNetworks;
  readonly namespaces = new Namespaces();
  readonly serviceAccounts = new ServiceAccounts();
  readonly workloads: readonly Workload[];
  readonly #workloads: ReadonlyMap<string, readonly Workload[]>; // by namespace
  /** Objects of the kinds that the control plane reads. */
  readonly custom: readonly CustomObject[];

  constructor(objects: readonly JsonObject[], context: AnalysisContext) {
    this.context = context;
    this.traffic = new TrafficObjects(context.clusterDomain);
    const settings = outboundSettings(context);
    this.egress = new EgressNetworks(settings);
    this.outbound = new OutboundIndex(this.services, settings, this.routes, this.egress);
    this.given = objects.flatMap((object) => identify(object, context.defaultNamespace) ?? []);
    for (const { kind, group, object } of this.given) {
      if (group !== '') continue;
      if (kind === 'Namespace') {
        const namespace = NAMESPACES.parse(object);
        if (namespace !== undefined) this.namespaces.apply(namespace);
      }
      const service = kind === 'Service' ? SERVICES.parse(this.#placed(object)) : undefined;
      // Only the API server gives addresses; in a file nearly every Service has none yet.
      if (service !== undefined)
        this.services.apply(hasAddress(service, object) ? service : { ...service, clusterIps: ['0.0.0.0'] });
    }
    this.custom = this.#keepCustom();
    this.workloads = this.given.flatMap((one) => this.#workload(one));
    this.#workloads = Map.groupBy(this.workloads, ({ namespace }) => namespace);
    const accounts = this.given.filter(({ kind, group }) => kind === 'ServiceAccount' && group === '');
    // Kubernetes makes one in each namespace.
    const defaults = this.given
      .filter(({ kind, group }) => kind === 'Namespace' && group === '')
      .map(({ name }) => ({ namespace: name, name: 'default' }));
    if (context.isWholeCluster) this.serviceAccounts.reset([...accounts, ...defaults]);
    else for (const account of accounts) this.serviceAccounts.apply(account);
  }

  workloadsIn(namespace: string): readonly Workload[] {
    return this.#workloads.get(namespace) ?? [];
  }

  hasGateway(namespace: string, name: string): boolean {
    return this.given.some(
      (one) =>
        one.group === GATEWAYS.group && one.kind === GATEWAYS.kind && one.namespace === namespace && one.name === name,
    );
  }

  #placed(object: JsonObject): JsonObject {
    const metadata = asObject(object['metadata']);
    return {
      ...object,
      metadata: { ...metadata, namespace: asText(metadata['namespace']) ?? this.context.defaultNamespace },
    };
  }

  #keepCustom(): readonly CustomObject[] {
    const kinds = [
      ...this.policies.kinds,
      ...trafficKinds(this.traffic, this.routes, this.egress),
      externalWorkloadKind(this.externalWorkloads),
    ];
    return this.given.flatMap(({ group, kind, object }) => {
      const known = kinds.find((one) => one.group === group && one.kind === kind);
      const version = known?.versions[0];
      if (known === undefined || version === undefined) return [];
      const read = customKind(known, version).parse(this.#placed(object));
      if (read === undefined) return [];
      known.index.apply(read);
      return [read];
    });
  }

  #workload({ kind, group, namespace, name, object }: GivenObject): readonly Workload[] {
    const path = TEMPLATES[kind];
    if (path === undefined || !['', 'apps', 'batch'].includes(group)) return [];
    const template = path.reduce<JsonObject>((part, field) => asObject(part[field]), object);
    const { metadata, ...rest } = template;
    const fields = { ...asObject(metadata), name, namespace };
    const pod = PODS.parse({ ...rest, metadata: fields });
    if (pod === undefined || pod.isFinished || isTerminating(object)) return [];
    return [
      {
        kind,
        group,
        namespace,
        name,
        pod: { ...pod, annotations: { ...this.#inherited(namespace), ...pod.annotations } },
        annotations: pod.annotations,
        isMeshed: this.#isMeshed({ ...rest, metadata: fields }, namespace),
      },
    ];
  }

  /** What the injector copies from the namespace to its pods. */
  #inherited(namespace: string): Readonly<Record<string, string>> {
    const { annotations } = this.namespaces.of(namespace);
    return Object.fromEntries(Object.entries(annotations).filter(([name]) => isConfiguration(name)));
  }

  /** Whether pods have a proxy, or get one. Where the namespace is not among the objects nobody knows: then they have. */
  #isMeshed(object: JsonObject, namespace: string): boolean {
    try {
      const pod = parsePod(object);
      if (allContainers(pod).some(({ name }) => name === PROXY_CONTAINER)) return true;
      const decision = decide(pod, this.namespaces.of(namespace), this.context.isRedirectedByNode);
      if (decision.kind === 'inject') return true;
      return decision.reason === 'injection_enable_annotation_absent' && this.namespaces.find(namespace) === undefined;
    } catch (error) {
      if (error instanceof PodError) return true; // another finding is about it
      throw error;
    }
  }
}

function hasAddress({ clusterIps }: Service, object: JsonObject): boolean {
  return clusterIps.length > 0 || asObject(object['spec'])['clusterIP'] === 'None';
}

/** @returns nothing for what is no object of Kubernetes */
export function identify(object: JsonObject, defaultNamespace: string): GivenObject | undefined {
  const apiVersion = asText(object['apiVersion']) ?? '';
  const kind = asText(object['kind']) ?? '';
  const metadata = asObject(object['metadata']);
  const name = asText(metadata['name']) ?? asText(metadata['generateName']) ?? '';
  if (apiVersion === '' || kind === '' || name === '') return undefined;
  const group = apiVersion.includes('/') ? (apiVersion.split('/', 1)[0] ?? '') : '';
  const namespace = CLUSTER_KINDS.has(kind) ? '' : (asText(metadata['namespace']) ?? defaultNamespace);
  return { apiVersion, group, kind, namespace, name, object };
}

/** The objects of a document: itself, or the items of a List. */
export function itemsOf(document: JsonObject): readonly JsonObject[] {
  return (asText(document['kind']) ?? '').endsWith('List') && Array.isArray(document['items'])
    ? asList(document['items']).map(asObject).flatMap(itemsOf)
    : [document];
}
