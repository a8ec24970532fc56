// Objects in, model out, over the wire and back: `UPDATE=1` writes what comes out, and the difference is reviewed.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { decodeOutboundPolicy } from '#api/decode/outbound.ts';
import { encodeOutboundPolicy } from '#api/encode/outbound.ts';
import { OutboundPolicy as OutboundPolicyMessage } from '#api/gen/outbound.ts';
import { asObject, asText } from '#k8s/json.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import { parseAddress, parseNetwork } from '#model/address.ts';
import { parseHostPort } from '#model/service-target.ts';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import { ROUTE_KINDS } from '../dialects/route-kinds.ts';
import { judgeEgressNetwork } from '../dialects/egress-network.ts';
import { compileServiceProfile } from '../dialects/service-profile.ts';
import { compileTrafficSplit } from '../dialects/smi.ts';
import { EGRESS_NETWORKS, EgressNetworks } from './egress-networks.ts';
import { OutboundIndex, type OutboundState } from './outbound-index.ts';
import { RouteIndex } from './route-index.ts';
import { judgeRoute } from './route-status.ts';

const FOLDER = join(import.meta.dirname, '..', 'dialects', 'testdata');
const SETTINGS = {
  clusterDomain: 'cluster.local',
  clusterNetworks: [parseNetwork('10.0.0.0/8')!],
  opaquePorts: { ranges: [] },
  allowsRequestHeaders: false,
  globalEgressNamespace: 'linkerd-egress',
};

function custom(document: unknown): CustomObject {
  const { apiVersion, kind } = asObject(document);
  const [group = '', version = ''] = (asText(apiVersion) ?? '').split('/');
  const name = asText(kind) ?? '';
  const parsed = customKind({ group, kind: name, plural: `${name.toLowerCase()}s` }, version).parse(document);
  assert.ok(parsed);
  return parsed;
}

/** The state as it was, after a look at whether a proxy understands the same. */
function overWire(state: OutboundState): OutboundState {
  if (state.kind === 'failed') return state;
  const bytes = OutboundPolicyMessage.encode(encodeOutboundPolicy(state.policy)).finish();
  // Messages do not carry the numbers of rules, and conditions of retries are a set.
  const carried = (policy: OutboundPolicy): unknown =>
    JSON.parse(
      JSON.stringify(policy, (key, value: unknown) =>
        key === 'index'
          ? undefined
          : key === 'conditions' && Array.isArray(value)
            ? value.map(String).toSorted((a, b) => (a < b ? -1 : 1))
            : value,
      ),
    );
  assert.deepEqual(carried(decodeOutboundPolicy(OutboundPolicyMessage.decode(bytes))), carried(state.policy));
  return state;
}

/** Everything that follows from the objects of one file. */
function translate(text: string): unknown {
  const documents = parseAllDocuments(text).map((document): unknown => document.toJS());
  const services = new ResourceStore<Service>();
  const routes = new RouteIndex(services);
  const egress = new EgressNetworks(SETTINGS);
  const index = new OutboundIndex(services, SETTINGS, routes, egress);
  const result: Record<string, unknown> = {};
  for (const document of documents) {
    const kind = asObject(document)['kind'];
    const service = kind === 'Service' ? SERVICES.parse(document) : undefined;
    if (service !== undefined) {
      services.apply(service);
      continue;
    }
    const object = custom(document);
    const key = `${object.kind}.${object.group} ${object.namespace}/${object.name}`;
    if (kind === 'ServiceProfile') result[key] = compileServiceProfile(object, 80);
    else if (kind === 'TrafficSplit') result[key] = compileTrafficSplit(object, 80, 'cluster.local');
    else if (kind === EGRESS_NETWORKS.kind) egress.store.apply(object);
    else {
      const nth = ROUTE_KINDS.findIndex((one) => one.group === object.group && one.kind === object.kind);
      routes.stores[nth]?.apply(object);
    }
  }
  for (const document of documents) {
    const service = asObject(document)['kind'] === 'Service' ? SERVICES.parse(document) : undefined;
    for (const { port } of service?.ports ?? []) {
      for (const namespace of ['shop', 'client']) {
        if (service === undefined) continue;
        using lease = index.watchName({ namespace: service.namespace, service: service.name, port }, namespace);
        result[`${service.name}:${port} for ${namespace}`] = overWire(lease.slot.value);
      }
    }
  }
  for (const [, asked = '', namespace = ''] of text.matchAll(/^# ask: (\S+) for (\S+)$/gm)) {
    const { host = '', port = 0 } = parseHostPort(asked) ?? {};
    using lease = index.watchAddress(parseAddress(host)!, port, namespace);
    result[`${asked} for ${namespace}`] = overWire(lease.slot.value);
  }
  for (const object of egress.store.values()) {
    result[`status of ${object.kind} ${object.namespace}/${object.name}`] = judgeEgressNetwork(
      object,
      SETTINGS.clusterNetworks,
    );
  }
  for (const store of routes.stores) {
    for (const object of store.values()) {
      result[`status of ${object.kind}.${object.group} ${object.namespace}/${object.name}`] = judgeRoute(object, {
        services,
        routes,
        egress,
        clusterDomain: 'cluster.local',
      });
    }
  }
  return result;
}

for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.in.yaml'))) {
  test(`${file} becomes the model that was reviewed`, () => {
    const actual = `${JSON.stringify(translate(readFileSync(join(FOLDER, file), 'utf8')), undefined, 2)}\n`;
    const expected = join(FOLDER, file.replace('.in.yaml', '.out.json'));
    if (process.env['UPDATE'] === '1') writeFileSync(expected, actual);
    assert.deepEqual(JSON.parse(actual), JSON.parse(readFileSync(expected, 'utf8')));
  });
}
