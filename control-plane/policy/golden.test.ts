// Objects in, model out: `UPDATE=1` writes what comes out, and the difference is reviewed.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { asObject, asText } from '#k8s/json.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';
import { SERVICES, type Service } from '#k8s/resources/service.ts';
import { compileServiceProfile } from '../dialects/service-profile.ts';
import { compileTrafficSplit } from '../dialects/smi.ts';
import { OutboundIndex } from './outbound-index.ts';
import { ROUTE_KINDS, RouteIndex } from './route-index.ts';
import { judgeRoute } from './route-status.ts';

const FOLDER = join(import.meta.dirname, '..', 'dialects', 'testdata');
const SETTINGS = {
  clusterDomain: 'cluster.local',
  clusterNetworks: [],
  opaquePorts: { ranges: [] },
  allowsRequestHeaders: false,
};

function custom(document: unknown): CustomObject {
  const { apiVersion, kind } = asObject(document);
  const [group = '', version = ''] = (asText(apiVersion) ?? '').split('/');
  const name = asText(kind) ?? '';
  const parsed = customKind({ group, kind: name, plural: `${name.toLowerCase()}s` }, version).parse(document);
  assert.ok(parsed);
  return parsed;
}

/** Everything that follows from the objects of one file. */
function translate(text: string): unknown {
  const documents = parseAllDocuments(text).map((document): unknown => document.toJS());
  const services = new ResourceStore<Service>();
  const routes = new RouteIndex(services);
  const index = new OutboundIndex(services, SETTINGS, routes);
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
        result[`${service.name}:${port} for ${namespace}`] = lease.slot.value;
      }
    }
  }
  for (const store of routes.stores) {
    for (const object of store.values()) {
      result[`status of ${object.kind}.${object.group} ${object.namespace}/${object.name}`] = judgeRoute(object, {
        services,
        routes,
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
