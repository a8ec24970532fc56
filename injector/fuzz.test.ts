import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import type { InjectionContext } from './patch.ts';
import { parseReview, review, ReviewError } from './webhook.ts';
import { seededRandom } from '../test/harness/random.ts';

/** Reviews to try; `TULLE_FUZZ=1000000` for the long run. */
const COUNT = Number(process.env['TULLE_FUZZ'] ?? '5000');
const SEED = Number(process.env['TULLE_FUZZ_SEED'] ?? '1');
const PATCH_BYTES_MAX = 512 * 1024;
const WARNING_BYTES_MAX = 4096;

type Json = null | boolean | number | string | Json[] | { [field: string]: Json };

const BASE: Json = {
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: {
    uid: 'u-1',
    kind: { group: '', version: 'v1', kind: 'Pod' },
    namespace: 'shop',
    operation: 'CREATE',
    dryRun: false,
    object: {
      metadata: {
        generateName: 'web-6c9d7f5b8-',
        labels: { app: 'web', 'pod-template-hash': '6c9d7f5b8' },
        annotations: {
          'config.linkerd.io/skip-inbound-ports': '22,9000-9010',
          'config.linkerd.io/proxy-memory-limit': '128Mi',
          'config.linkerd.io/proxy-additional-env': '[{"name":"A","value":"b"}]',
        },
        ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-6c9d7f5b8', controller: true }],
      },
      spec: {
        initContainers: [{ name: 'migrate' }],
        containers: [{ name: 'app', ports: [{ containerPort: 8080 }], livenessProbe: { httpGet: { port: 'http' } } }],
        volumes: [{ name: 'data', emptyDir: {} }],
        nodeSelector: { 'kubernetes.io/os': 'linux' },
      },
    },
  },
};
const SERVICE: Json = { metadata: { name: 'db' }, spec: { ports: [{ port: 3306, targetPort: 'sql' }, { port: 25 }] } };
const ANNOTATIONS = [
  'linkerd.io/inject',
  'viz.linkerd.io/disable-tap',
  'config.alpha.linkerd.io/proxy-wait-before-exit-seconds',
  ...[
    'inbound-port',
    'admin-port',
    'opaque-ports',
    'skip-subnets',
    'proxy-cpu-request',
    'proxy-cpu-limit',
    'proxy-memory-request',
    'proxy-image',
    'proxy-version',
    'proxy-uid',
    'proxy-log-level',
    'proxy-additional-env',
    'proxy-enable-native-sidecar',
    'access-log',
    'shutdown-grace-period',
    'default-inbound-policy',
    'frobnicate',
  ].map((name) => `config.linkerd.io/${name}`),
];
const VALUES: readonly Json[] = [
  null,
  true,
  0,
  -1,
  65_536,
  1e308,
  '',
  'enabled',
  'disabled',
  'true',
  '25,3000-3010',
  '10.0.0.0/8',
  '100m',
  '9'.repeat(400),
  '1,'.repeat(500),
  '[{"name":"A","value":"b"}]',
  '[[[[',
  '\u0000\ud800~/',
  '__proto__',
  [],
  {},
  [null],
  { name: 'linkerd-proxy' },
];

const TEXTS = ['5', '-1', ...VALUES.filter((value) => typeof value === 'string')];

/** Changes a few places of a document, which it owns. */
class Mutator {
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  review(): Json {
    const body = structuredClone(BASE) as { request: { kind: { kind: string }; object: Json } };
    if (this.#random() < 0.15) {
      body.request.kind.kind = 'Service';
      body.request.object = structuredClone(SERVICE);
    }
    for (let count = 1 + this.#below(4); count > 0; count -= 1) this.#mutate(body);
    return JSON.parse(JSON.stringify(body)) as Json; // as it comes over the wire
  }

  /** Annotations and labels of a namespace. */
  context(): InjectionContext {
    const annotations: Record<string, string> = { 'linkerd.io/inject': 'enabled' };
    while (this.#random() < 0.5) annotations[this.#one(ANNOTATIONS)] = this.#one(TEXTS);
    const isRestricted = this.#random() < 0.05;
    return {
      values: defaultValues('0.0.0-test'),
      trustAnchorsPem: 'anchor',
      namespace: { annotations, labels: isRestricted ? { 'pod-security.kubernetes.io/enforce': 'restricted' } : {} },
    };
  }

  #mutate(root: Json): void {
    const places: [parent: Json[] | { [field: string]: Json }, key: string][] = [];
    const visit = (value: Json): void => {
      if (typeof value !== 'object' || value === null) return;
      for (const key of Object.keys(value)) {
        places.push([value, key]);
        visit((value as { [field: string]: Json })[key] as Json);
      }
    };
    visit(root);
    if (places.length === 0) return; // nothing is left to change
    const [parent, key] = this.#one(places);
    const fields = parent as { [field: string]: Json };
    const choice = this.#random();
    if (key.includes('.io/') && choice < 0.7) fields[this.#one(ANNOTATIONS)] = this.#one(TEXTS);
    else if (choice < 0.2) delete fields[key];
    else if (choice < 0.3)
      fields[this.#one(['name', 'annotations', 'hostNetwork', '~/', '__proto__x'])] = structuredClone(
        this.#one(VALUES),
      );
    else if (choice < 0.4 && typeof fields[key] === 'string') fields[key] = this.#bend(fields[key]);
    else fields[key] = structuredClone(this.#one(VALUES));
  }

  #bend(text: string): string {
    const at = this.#below(text.length + 1);
    const code = this.#below(0x2ff);
    return text.slice(0, at) + String.fromCharCode(code) + text.slice(at + this.#below(2));
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #one<T>(list: readonly T[]): T {
    const found = list[this.#below(list.length)];
    if (found === undefined) throw new Error('an empty list to choose from');
    return found;
  }
}

/** Applies the patch as an API server does. @throws Error  where it would refuse */
function applied(target: Json, patch: { op: string; path: string; value: Json }[]): Json {
  const root = structuredClone(target);
  for (const { op, path, value } of patch) {
    assert.equal(op, 'add');
    const parts = path
      .slice(1)
      .split('/')
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = parts.pop() ?? '';
    const parent = parts.reduce<Json>((at, part) => (at as { [field: string]: Json })[part] as Json, root);
    assert.ok(typeof parent === 'object' && parent !== null, `${path} has no parent`);
    if (!Array.isArray(parent)) parent[last] = structuredClone(value);
    else if (last === '-') parent.push(structuredClone(value));
    else parent.splice(Number(last), 0, structuredClone(value));
  }
  return root;
}

test(`mutated reviews (${COUNT}, seed ${SEED}) are answered validly or refused with a reason`, () => {
  const mutator = new Mutator(seededRandom(SEED));
  const seen = { refused: 0, patched: 0, warned: 0, untouched: 0 };
  for (let index = 0; index < COUNT; index += 1) {
    const body = mutator.review();
    const context = mutator.context();
    const about = (): string => `review ${index}: ${JSON.stringify(body)} ${JSON.stringify(context.namespace)}`;
    let answer: ReturnType<typeof review>;
    try {
      answer = review(parseReview(body), context);
    } catch (error) {
      assert.ok(error instanceof ReviewError && error.message.length < 500, `${String(error)}: ${about()}`);
      seen.refused += 1;
      continue;
    }
    const { request } = body as { request: { uid: string; object: Json } };
    const { uid, allowed, patch, warnings = [] } = answer.response.response;
    assert.ok(uid === request.uid && allowed, about());
    assert.ok(warnings.join('').length <= WARNING_BYTES_MAX, about());
    if (warnings.length > 0) seen.warned += 1;
    if (patch === undefined) {
      seen.untouched += 1;
      continue;
    }
    seen.patched += 1;
    assert.ok(patch.length <= PATCH_BYTES_MAX, about());
    const operations = JSON.parse(Buffer.from(patch, 'base64').toString()) as Parameters<typeof applied>[1];
    const after = applied(request.object, operations);
    // What the webhook made is understood by the webhook, and left alone.
    const again = review(parseReview({ request: { ...request, object: after } }), context);
    assert.equal(again.response.response.patch, undefined, about());
  }
  assert.ok(seen.refused > 0 && seen.patched > 0 && seen.warned > 0 && seen.untouched > 0, JSON.stringify(seen));
});
