import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject, KubeObject } from '../object.ts';
import type { PrinterColumn } from '../registry.ts';
import { Registry } from '../registry.ts';
import { humanDuration } from './human-duration.ts';
import { customPrinter } from './printers/custom.ts';
import type { Printer } from './printers/printer.ts';
import { includeObjectOf, listTable, tablePrinter } from './table.ts';

const now = Date.parse('2026-01-10T12:00:00Z');
const registry = new Registry();

function object(fields: JsonObject, metadata: JsonObject = {}): KubeObject {
  const base = {
    name: 'x',
    namespace: 'ns',
    uid: 'u',
    resourceVersion: '7',
    creationTimestamp: '2026-01-10T11:55:00Z',
  };
  return { apiVersion: 'v1', kind: 'X', metadata: { ...base, ...metadata }, ...fields };
}

function printerOf(key: string): Printer {
  const type = registry.byKey(key);
  assert.ok(type, key);
  return tablePrinter(type);
}

function cells(key: string, fields: JsonObject, metadata: JsonObject = {}): Record<string, unknown> {
  const printer = printerOf(key);
  const row = printer.cells(object(fields, metadata), now);
  assert.equal(row.length, printer.columns.length);
  return Object.fromEntries(printer.columns.map((column, index) => [column.name, row[index]]));
}

const options = { version: 'v1', includeObject: 'Metadata', hasColumns: true, nowMs: now } as const;

test('every resource of the registry has as many cells as columns and starts with its name', () => {
  for (const type of registry.all()) {
    const printer = tablePrinter(type);
    assert.equal(printer.cells(object({}), now).length, printer.columns.length, type.kind);
    assert.ok(type.kind === 'Event' || printer.columns[0]?.name === 'Name', type.kind);
  }
});

const running = { state: { running: { startedAt: '2026-01-10T11:55:10Z' } }, ready: true, restartCount: 0 };
const sidecarSpec = {
  initContainers: [{ name: 'init' }, { name: 'proxy', restartPolicy: 'Always' }],
  containers: [{ name: 'app' }],
};
const initDone = { name: 'init', state: { terminated: { exitCode: 0 } } };

const podCases: readonly [title: string, pod: JsonObject, metadata: JsonObject, expected: string][] = [
  ['a pending pod shows its phase', { status: { phase: 'Pending' } }, {}, '0/0 Pending 0'],
  [
    'a native sidecar counts in both numbers of ready',
    {
      spec: sidecarSpec,
      status: {
        phase: 'Running',
        initContainerStatuses: [initDone, { name: 'proxy', started: true, ...running }],
        containerStatuses: [{ name: 'app', ...running }],
      },
    },
    {},
    '2/2 Running 0',
  ],
  [
    'a sidecar that has not started keeps the pod in Init',
    {
      spec: sidecarSpec,
      status: { phase: 'Pending', initContainerStatuses: [initDone, { name: 'proxy', started: false, ...running }] },
    },
    {},
    '0/2 Init:1/2 0',
  ],
  [
    'a failing init container shows its reason',
    {
      spec: sidecarSpec,
      status: {
        phase: 'Pending',
        initContainerStatuses: [{ name: 'init', restartCount: 3, state: { waiting: { reason: 'CrashLoopBackOff' } } }],
      },
    },
    {},
    '0/2 Init:CrashLoopBackOff 3',
  ],
  [
    'restarts say when the last one was',
    {
      spec: { containers: [{ name: 'app' }] },
      status: {
        phase: 'Running',
        containerStatuses: [
          {
            name: 'app',
            restartCount: 4,
            state: { waiting: { reason: 'CrashLoopBackOff' } },
            lastState: { terminated: { finishedAt: '2026-01-10T11:59:30Z' } },
          },
        ],
      },
    },
    {},
    '0/1 CrashLoopBackOff 4 (30s ago)',
  ],
  [
    'an ended container without a reason shows its exit code',
    {
      spec: { containers: [{ name: 'app' }] },
      status: { phase: 'Failed', containerStatuses: [{ name: 'app', state: { terminated: { exitCode: 3 } } }] },
    },
    {},
    '0/1 ExitCode:3 0',
  ],
  [
    'one container completed and one running without Ready is NotReady',
    {
      spec: { containers: [{ name: 'a' }, { name: 'b' }] },
      status: {
        phase: 'Running',
        containerStatuses: [
          { name: 'a', state: { terminated: { exitCode: 0, reason: 'Completed' } } },
          { name: 'b', ...running },
        ],
      },
    },
    {},
    '1/2 NotReady 0',
  ],
  [
    'a deleted pod is Terminating',
    { spec: { containers: [{}] }, status: { phase: 'Running' } },
    { deletionTimestamp: '2026-01-10T12:00:00Z' },
    '0/1 Terminating 0',
  ],
  [
    'a reason of the status wins over the phase',
    { status: { phase: 'Failed', reason: 'Evicted' } },
    {},
    '0/0 Evicted 0',
  ],
];

for (const [title, pod, metadata, expected] of podCases) {
  test(`pod status: ${title}`, () => {
    const row = cells('pods', pod, metadata);
    assert.equal([row['Ready'], row['Status'], row['Restarts']].join(' '), expected);
  });
}

test('wide pod columns say <none> where nothing is known', () => {
  const row = cells('pods', { status: { podIPs: [{ ip: '10.42.0.7' }] } });
  assert.deepEqual(
    [row['IP'], row['Node'], row['Nominated Node'], row['Readiness Gates']],
    ['10.42.0.7', '<none>', '<none>', '<none>'],
  );
  const priorities = printerOf('pods').columns.map((column) => column.priority);
  assert.deepEqual(priorities, [0, 0, 0, 0, 0, 1, 1, 1, 1]);
});

test('workloads print replicas, images and selectors', () => {
  const template = {
    spec: {
      containers: [
        { name: 'a', image: 'i:1' },
        { name: 'b', image: 'j' },
      ],
    },
  };
  const selector = {
    matchLabels: { app: 'web' },
    matchExpressions: [{ key: 't', operator: 'In', values: ['b', 'a'] }],
  };
  const row = cells('deployments.apps', {
    spec: { replicas: 3, template, selector },
    status: { readyReplicas: 2, updatedReplicas: 1, availableReplicas: 2 },
  });
  assert.deepEqual(Object.values(row), ['x', '2/3', 1, 2, '5m', 'a,b', 'i:1,j', 'app=web,t in (a,b)']);
  const job = cells('jobs.batch', {
    spec: { completions: 2, template },
    status: {
      succeeded: 2,
      startTime: '2026-01-10T11:00:00Z',
      completionTime: '2026-01-10T11:03:05Z',
      conditions: [{ type: 'Complete', status: 'True' }],
    },
  });
  assert.deepEqual([job['Status'], job['Completions'], job['Duration']], ['Complete', '2/2', '3m5s']);
});

test('services print addresses and ports by type', () => {
  const ports = [
    { port: 80, nodePort: 30080, protocol: 'TCP' },
    { port: 53, protocol: 'UDP' },
  ];
  const row = cells('services', { spec: { type: 'NodePort', clusterIPs: ['10.96.0.9'], ports, selector: { a: 'b' } } });
  assert.deepEqual(Object.values(row), ['x', 'NodePort', '10.96.0.9', '<none>', '80:30080/TCP,53/UDP', '5m', 'a=b']);
  assert.equal(cells('services', { spec: { type: 'LoadBalancer' } })['External-IP'], '<pending>');
  assert.equal(cells('services', { spec: { type: 'ExternalName', externalName: 'a.b' } })['External-IP'], 'a.b');
});

test('endpoint slices shorten long lists', () => {
  const row = cells('endpointslices.discovery.k8s.io', {
    addressType: 'IPv4',
    ports: [{ port: 80 }, { name: 'x' }],
    endpoints: [{ addresses: ['1.1.1.1', '2.2.2.2'] }, { addresses: ['3.3.3.3'] }, { addresses: ['4.4.4.4'] }],
  });
  assert.equal(row['Ports'], '80,x');
  assert.equal(row['Endpoints'], '1.1.1.1,2.2.2.2,3.3.3.3 + 1 more...');
});

test('events print the same cells in both API groups', () => {
  const core = cells('events', {
    type: 'Normal',
    reason: 'Started',
    message: ' Started container \n',
    involvedObject: { kind: 'Pod', name: 'web-1' },
    source: { component: 'kubelet', host: 'node' },
    firstTimestamp: '2026-01-10T11:50:00Z',
    lastTimestamp: '2026-01-10T11:59:00Z',
    count: 3,
  });
  const events = cells('events.events.k8s.io', {
    type: 'Normal',
    reason: 'Started',
    note: 'Started container',
    regarding: { kind: 'Pod', name: 'web-1' },
    deprecatedSource: { component: 'kubelet', host: 'node' },
    deprecatedFirstTimestamp: '2026-01-10T11:50:00Z',
    deprecatedLastTimestamp: '2026-01-10T11:59:00Z',
    deprecatedCount: 3,
  });
  assert.deepEqual(core, events);
  assert.equal(core['Last Seen'], '60s');
  assert.equal(core['Source'], 'kubelet, node');
});

test('custom columns read JSON paths, and a missing or mistyped value is an empty cell', () => {
  const column = (type: string, jsonPath: string): PrinterColumn => ({ name: jsonPath, type, jsonPath });
  const printer = customPrinter([
    column('string', '.spec.hosts'),
    column('string', '.status.conditions[?(@.type=="Ready")].status'),
    column('integer', '.spec.size'),
    column('boolean', '.spec.size'),
    column('date', '.spec.since'),
    column('string', '.spec.none'),
    column('string', '.spec[[['),
  ]);
  const foo = object({
    spec: { hosts: ['a', 'b'], size: 3, since: '2026-01-09T12:00:00Z' },
    status: {
      conditions: [
        { type: 'Other', status: 'X' },
        { type: 'Ready', status: 'True' },
      ],
    },
  });
  assert.deepEqual(printer.cells(foo, now), ['x', '["a","b"]', 'True', 3, null, '24h', null, null]);
  assert.deepEqual(
    customPrinter([]).columns.map(({ name }) => name),
    ['Name', 'Age'],
  );
});

test('a table carries metadata of the objects unless told otherwise', () => {
  const printer = printerOf('configmaps');
  const table = listTable(printer, [object({ data: { a: '1' } })], { resourceVersion: '9' }, options);
  assert.equal(table['kind'], 'Table');
  assert.deepEqual(table['metadata'], { resourceVersion: '9' });
  const [row] = table['rows'] as JsonObject[];
  assert.deepEqual(row?.['cells'], ['x', 1, '5m']);
  assert.match(JSON.stringify(row?.['object']), /"kind":"PartialObjectMetadata"/);
  const whole = listTable(
    printer,
    [object({ data: {} })],
    { resourceVersion: '9' },
    { ...options, includeObject: 'Object' },
  );
  assert.match(JSON.stringify(whole['rows']), /"data":\{\}/);
});

test('later events of a watch have no columns and a bookmark no rows', () => {
  const table = listTable(printerOf('pods'), [], { resourceVersion: '9' }, { ...options, hasColumns: false });
  assert.equal(table['columnDefinitions'], null);
  assert.deepEqual(table['rows'], []);
});

test('finished pods are marked completed, so that kubectl can tell them', () => {
  const pod = object({ status: { phase: 'Succeeded' } });
  const table = listTable(printerOf('pods'), [pod], { resourceVersion: '1' }, options);
  assert.match(JSON.stringify(table['rows']), /"conditions":\[\{"type":"Completed","status":"True"/);
});

test('an unknown includeObject is refused', () => {
  assert.equal(includeObjectOf(undefined), 'Metadata');
  assert.throws(() => includeObjectOf('Everything'), { code: 400 });
});

test('durations keep two or three significant figures', () => {
  const minute = 60_000;
  const day = 1440 * minute;
  const samples: readonly [number, string][] = [
    [-5000, '<invalid>'],
    [-1500, '0s'],
    [119_999, '119s'],
    [2 * minute, '2m'],
    [5 * minute + 29_000, '5m29s'],
    [10 * minute + 5000, '10m'],
    [179 * minute, '179m'],
    [185 * minute, '3h5m'],
    [47 * 60 * minute, '47h'],
    [3 * day + 4 * 60 * minute, '3d4h'],
    [400 * day, '400d'],
    [800 * day, '2y70d'],
    [4000 * day, '10y'],
  ];
  for (const [ms, expected] of samples) assert.equal(humanDuration(ms), expected);
});
