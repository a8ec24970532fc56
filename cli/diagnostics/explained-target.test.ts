import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import type { JsonObject } from '#k8s/json.ts';
import { evaluateOutbound } from '#model/evaluate.ts';
import { Inventory } from '../../control-plane/findings/inventory.ts';
import { contextOf } from '../commands/analyze.ts';
import { explainTarget, parseTarget } from './explained-target.ts';

const OBJECTS = parse(`
- { apiVersion: v1, kind: Service, metadata: { name: bh, namespace: lab, annotations: { retry.linkerd.io/http: 5xx } }, spec: { clusterIP: None, ports: [{ port: 80 }] } }
- apiVersion: gateway.networking.k8s.io/v1
  kind: HTTPRoute
  metadata: { name: bh, namespace: lab }
  spec: { parentRefs: [{ group: '', kind: Service, name: bh }], rules: [{ timeouts: { request: 100ms } }] }
- { apiVersion: linkerd.io/v1alpha2, kind: ServiceProfile, metadata: { name: bh.lab.svc.cluster.local, namespace: lab }, spec: { routes: [{ name: a, condition: { method: GET }, timeout: 1s }] } }
`) as readonly JsonObject[];

test('nothing decides about requests to the pods of a headless Service', () => {
  const inventory = new Inventory(OBJECTS, contextOf(defaultValues(VERSION), 'lab', true));
  const { title, policy, profile } = explainTarget(inventory, parseTarget(['svc/bh']), 'lab', 'lab');
  assert.match(title, /headless: clients connect to its pods themselves/);
  const request = {
    method: 'GET',
    path: '/',
    query: '',
    host: 'bh.lab',
    header: () => undefined,
    matchesPattern: () => true,
  };
  const verdict = evaluateOutbound({ profile, ...(policy && { policy }) }, request);
  assert.ok(verdict.kind === 'routed');
  assert.deepEqual([verdict.decider, verdict.timeouts, verdict.retry], [undefined, {}, undefined]);
});
