import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { renderGatewayApiCrds } from '../../control-plane/install/render.ts';
import { Mesh, namespaceYaml, serviceYaml } from '../harness/mesh.ts';
import { isRealKubernetes } from '../harness/test-bed.ts';
import { until } from '../harness/until.ts';

const hasPrograms = ['kubectl', 'curl'].every((program) => spawnSync(program, ['--help']).status === 0);
const skip = isRealKubernetes ? 'curl is a program of the machine' : !hasPrograms && 'needs kubectl and curl';
/** How soon a change of configuration must act. */
const ACTS_MS = 5_000;
/** So many that chance does not hit one endpoint of three each time. */
const MANY = 30;

/** The definition of HTTPRoutes with the field that only the experimental channel of Gateway API has. */
function experimentalHttpRoutes(): string {
  const definition = structuredClone(
    renderGatewayApiCrds().find(({ metadata }) => metadata.name.startsWith('httproutes.')),
  );
  const text = JSON.stringify(definition, (key, value: unknown) => {
    const isRule = key === 'properties' && typeof value === 'object' && value !== null && 'backendRefs' in value;
    const session = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    return isRule ? { ...value, sessionPersistence: session } : value;
  });
  assert.match(text, /sessionPersistence/);
  return text;
}

const BROWSER = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'browser', namespace: 'store' },
  spec: {
    terminationGracePeriodSeconds: 1,
    volumes: [{ name: 'jars', emptyDir: {} }],
    containers: [
      {
        name: 'app',
        image: 'curlimages/curl:8',
        command: ['sleep', 'infinity'],
        volumeMounts: [{ name: 'jars', mountPath: '/tmp' }],
      },
    ],
  },
});

function routeYaml(name: string, service: string, rule: object): string {
  return JSON.stringify({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name, namespace: 'store' },
    spec: { parentRefs: [{ group: '', kind: 'Service', name: service, port: 8080 }], rules: [rule] },
  });
}

describe('sessions of a client with a cookie jar', { skip }, () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install([], { hasGatewayApi: true });
    await mesh.apply(experimentalHttpRoutes());
    await mesh.apply(namespaceYaml('store', true));
    await mesh.apply(serviceYaml('store', 'cart', { args: ['flaky', 'cart'], replicas: 3, ports: [8080] }));
    for (const name of ['cart-v1', 'cart-v2'])
      await mesh.apply(serviceYaml('store', name, { args: ['flaky', name], replicas: 2, ports: [8080] }));
    await mesh.apply(BROWSER);
    await mesh.ready('store');
    await until('the browser', 60_000, () => curl('http://cart:8080/pod').startsWith('cart-'));
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  const curl = (...args: readonly string[]): string => {
    const command = [
      '-n',
      'store',
      'exec',
      'browser',
      '-c',
      'app',
      '--',
      'curl',
      '-sS',
      '--fail',
      '--max-time',
      '10',
      ...args,
    ];
    const { status, stdout, stderr } = mesh.kubectl(command);
    if (status !== 0) throw new Error(`curl ${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  /** The pods that answer requests of one client, one after another. */
  const podsOf = (service: string, jar?: string, count = MANY): readonly string[] => {
    const cookies = jar === undefined ? [] : ['-b', `/tmp/${jar}`, '-c', `/tmp/${jar}`];
    return curl(...cookies, `http://${service}:8080/pod?n=[1-${count}]`)
      .trim()
      .split('\n');
  };

  test('stay at one of three replicas, until it is deleted; then at another one, and no request fails', async () => {
    await mesh.apply(routeYaml('cart', 'cart', { sessionPersistence: { sessionName: 'cart' } }));
    await until('the route to act', ACTS_MS, () => curl('-i', 'http://cart:8080/pod').includes('set-cookie: cart=t1.'));
    assert.ok(new Set(podsOf('cart')).size > 1, 'a client without a jar is balanced');
    const [pod = '', ...others] = new Set(podsOf('cart', 'first'));
    assert.deepEqual(others, []);
    const jar = mesh.kubectl(['-n', 'store', 'exec', 'browser', '-c', 'app', '--', 'cat', '/tmp/first']).stdout;
    assert.match(jar, /^#HttpOnly_cart\tFALSE\t\/\tFALSE\t0\tcart\tt1\.[\w-]{32}$/m);
    await mesh.cluster.request('DELETE', `/api/v1/namespaces/store/pods/${pod}`);
    const failures: unknown[] = [];
    await until('another choice', 30_000, () => {
      try {
        return podsOf('cart', 'first', 5).at(-1) !== pod;
      } catch (error) {
        failures.push(error);
        return false;
      }
    });
    assert.deepEqual(failures, []);
    const [next = '', ...rest] = new Set(podsOf('cart', 'first'));
    assert.deepEqual(rest, []);
    assert.notEqual(next, pod);
    assert.match(next, /^cart-/);
  });

  test('stay where they are when weights change, while new ones go by weight', async () => {
    const split = (weights: readonly [number, number]): string => {
      const backendRefs = weights.map((weight, index) => ({ name: `cart-v${index + 1}`, port: 8080, weight }));
      return routeYaml('cart', 'cart', { backendRefs, sessionPersistence: { sessionName: 'cart' } });
    };
    await mesh.apply(split([0, 1]));
    await until('the split', ACTS_MS, () => podsOf('cart').every((pod) => pod.startsWith('cart-v2')));
    const [pod, ...others] = new Set(podsOf('cart', 'split'));
    assert.deepEqual(others, []);
    await mesh.apply(split([1, 0]));
    await until('the other weights', ACTS_MS, () => podsOf('cart').every((one) => one.startsWith('cart-v1')));
    assert.deepEqual(new Set(podsOf('cart', 'split')), new Set([pod]));
  });

  test('are named by routes explain, and nothing is said to be ignored', () => {
    const { stdout } = mesh.tulle(['routes', 'explain', '-n', 'store', 'svc/cart:8080', '--path', '/']);
    assert.match(stdout, /^ {2}session: +cookie cart$/m);
    assert.match(stdout, /^Nothing is ignored\.$/m);
  });

  test('are told by a header too', async () => {
    await mesh.apply(routeYaml('v1', 'cart-v1', { sessionPersistence: { type: 'Header', sessionName: 'x-cart' } }));
    const ask = (...args: readonly string[]): string => curl('-i', ...args, 'http://cart-v1:8080/pod');
    const value = await until('the route to act', ACTS_MS, () => /^x-cart: (\S+)\r$/m.exec(ask())?.[1] ?? false);
    const answers = Array.from({ length: MANY }, () => ask('-H', `x-cart: ${value}`).trim().split('\n').at(-1));
    assert.equal(new Set(answers).size, 1);
  });
});
