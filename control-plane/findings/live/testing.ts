import assert from 'node:assert/strict';
import type { JsonObject } from '#k8s/json.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';
import { PODS, type Pod } from '#k8s/resources/pod.ts';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import { ManualClock } from '#runtime/clock.ts';
import { EgressNetworks } from '../../policy/egress-networks.ts';
import { OutboundIndex } from '../../policy/outbound-index.ts';
import { PolicyStore } from '../../policy/policy-store.ts';
import { RouteIndex } from '../../policy/route-index.ts';
import { trafficKinds, TrafficObjects } from '../../policy/traffic-objects.ts';
import { ServiceAccounts } from '../service-accounts.ts';
import { Effects } from './effects.ts';

const CLUSTER_DOMAIN = 'cluster.local';
const POLICY = {
  clusterNetworks: [],
  accessPolicies: ['deny', 'all-unauthenticated'],
  identitySuffix: 'serviceaccount.identity.tulle.cluster.local',
};

const OUTBOUND = {
  clusterDomain: CLUSTER_DOMAIN,
  clusterNetworks: [],
  opaquePorts: { ranges: [] },
  allowsRequestHeaders: false,
  globalEgressNamespace: 'linkerd-egress',
};

/** The stores of a control plane, with what the rules say about them; time stands still until it is moved. */
export class LiveCluster {
  readonly clock = new ManualClock();
  readonly services = new ResourceStore<Service>();
  readonly pods = new ResourceStore<Pod>();
  readonly routes = new RouteIndex(this.services);
  readonly policies = new PolicyStore(this.routes);
  readonly traffic = new TrafficObjects(CLUSTER_DOMAIN);
  readonly egress = new EgressNetworks(OUTBOUND);
  readonly serviceAccounts = new ServiceAccounts();
  readonly outbound = new OutboundIndex(this.services, OUTBOUND, this.routes, this.egress);
  /** How long the rules took, each time that they were asked. */
  readonly looked: number[] = [];
  isWanted = true;
  readonly effects = new Effects({
    services: this.services,
    pods: this.pods,
    routes: this.routes,
    policies: this.policies,
    traffic: this.traffic,
    egress: this.egress,
    serviceAccounts: this.serviceAccounts,
    outbound: this.outbound,
    clock: this.clock,
    context: { policy: POLICY, clusterDomain: CLUSTER_DOMAIN },
    isWanted: () => this.isWanted,
    onLooked: (tookMs) => this.looked.push(tookMs),
    onError: (error) => assert.fail(String(error)),
  });

  service(namespace: string, name: string): void {
    const spec = { clusterIP: '10.96.0.1', selector: { app: name }, ports: [{ name: 'http', port: 80 }] };
    const service = SERVICES.parse({ metadata: { namespace, name }, spec });
    assert.ok(service);
    this.services.apply(service);
  }

  /** A replica of a Deployment that has the name of the app. */
  pod(
    namespace: string,
    app: string,
    nth: number | string,
    more: JsonObject = {},
    hash = 'abc',
    annotations: JsonObject = {},
  ): void {
    const pod = PODS.parse({
      metadata: {
        namespace,
        name: `${app}-${hash}-${nth}`,
        uid: `${app}-${nth}`,
        labels: { app, 'pod-template-hash': hash },
        annotations,
        ownerReferences: [{ kind: 'ReplicaSet', name: `${app}-${hash}`, controller: true }],
      },
      spec: {
        containers: [
          { name: 'linkerd-proxy', env: [{ name: 'LINKERD2_PROXY_INBOUND_LISTEN_ADDR', value: '[::]:4143' }] },
          { name: 'app', ports: [{ name: 'http', containerPort: 8080 }], ...more },
        ],
      },
    });
    assert.ok(pod);
    this.pods.apply(pod);
  }

  object(group: string, kind: string, namespace: string, name: string, spec: JsonObject, more = {}): CustomObject {
    const known = [...this.policies.kinds, ...trafficKinds(this.traffic, this.routes, this.egress)].find(
      (one) => one.group === group && one.kind === kind,
    );
    assert.ok(known, kind);
    const { status = {}, generation = 1 } = more as { readonly status?: object; readonly generation?: number };
    const metadata = { namespace, name, uid: `${kind}-${name}`, generation };
    const object = customKind(known, known.versions[0] ?? '').parse({ metadata, spec, status });
    assert.ok(object);
    known.index.apply(object);
    return object;
  }

  /** Lets time pass, and the rules come to their end. */
  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    for (let turn = 0; turn < 100; turn += 1) await new Promise(setImmediate);
  }
}
