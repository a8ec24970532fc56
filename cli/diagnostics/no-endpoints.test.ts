import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENDPOINT_SLICES } from '#k8s/resources/endpoint-slice.ts';
import { PODS } from '#k8s/resources/pod.ts';
import { SERVICES } from '#k8s/resources/service.ts';
import { missingPort, whyNoEndpoints } from './no-endpoints.ts';

type Case = {
  readonly spec?: object; // of the Service
  readonly slice?: object;
  readonly pods?: readonly object[];
  readonly hostname?: string;
};

const SELECTED = { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http' }] };
const POD = {
  metadata: { name: 'web-1', namespace: 'shop', labels: { app: 'web' } },
  spec: { containers: [{ name: 'app', ports: [{ name: 'http', containerPort: 8080 }] }] },
};

function serviceOf(spec: object): NonNullable<ReturnType<typeof SERVICES.parse>> {
  return SERVICES.parse({ metadata: { name: 'web', namespace: 'shop' }, spec }) ?? assert.fail('no Service');
}

function why({ spec = SELECTED, slice, pods = [POD], hostname }: Case): string {
  const metadata = { name: 'web-x', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } };
  return whyNoEndpoints({
    service: serviceOf(spec),
    target: { namespace: 'shop', service: 'web', port: 80, ...(hostname !== undefined && { hostname }) },
    slices: slice === undefined ? [] : [ENDPOINT_SLICES.parse({ metadata, ...slice }) ?? assert.fail('no slice')],
    pods: pods.flatMap((pod) => PODS.parse(pod) ?? []),
  });
}

const PORTS = [{ name: '', port: 8080 }];

test('no endpoints: the reason is named', () => {
  const cases: readonly (readonly [Case, RegExp])[] = [
    [{ pods: [] }, /^Service shop\/web has no endpoint on port 80: spec\.selector app=web selects no pod \(`kubectl /],
    [{}, /selects one pod without an address yet/],
    [{ spec: { ports: [{ port: 80 }] } }, /has no spec\.selector, and no EndpointSlice has addresses for it/],
    [
      {
        spec: { ...SELECTED, ports: [{ port: 80, targetPort: 'htp' }] },
        slice: { endpoints: [{ addresses: ['10.0.0.1'] }] },
      },
      /spec\.ports\[0\]\.targetPort is "htp", and no pod of it has a port of that name \(they have "http"\)/,
    ],
    [
      {
        spec: { ports: [{ name: 'web', port: 80 }] },
        slice: { ports: PORTS, endpoints: [{ addresses: ['10.0.0.1'] }] },
      },
      /no EndpointSlice of it has a port named "web"/,
    ],
    [
      { slice: { ports: PORTS, endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: false } }] } },
      /of 1 none is ready \(`kubectl -n shop get pods -l app=web`\)/,
    ],
    [
      { slice: { ports: PORTS, endpoints: [{ addresses: ['10.0.0.1'], hostname: 'web-0' }] }, hostname: 'web-7' },
      /none has the host name "web-7"/,
    ],
    [
      {
        spec: { ...SELECTED, internalTrafficPolicy: 'Local' },
        slice: { ports: PORTS, endpoints: [{ addresses: ['10.0.0.1'], nodeName: 'a' }] },
      },
      /internalTrafficPolicy is Local/,
    ],
  ];
  for (const [given, expected] of cases) assert.match(why(given), expected);
});

test('a port that a Service does not have is named with those that it has', () => {
  const service = serviceOf({ ports: [{ port: 8080 }, { port: 53, protocol: 'UDP' }] });
  assert.equal(missingPort(service, 8080), undefined);
  assert.equal(missingPort(service, 80), 'Service shop/web has no port 80: it has 8080, 53/UDP');
  assert.match(missingPort(service, 53) ?? '', /has no port 53/);
  assert.equal(missingPort(serviceOf({}), 80), 'Service shop/web has no ports');
});
