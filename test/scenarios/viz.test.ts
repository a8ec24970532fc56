import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { Browser, chromium } from '../harness/browser.ts';
import { formatDiagnosis } from '../../control-plane/diagnosis/diagnosis.ts';
import type { FindingsAnswer } from '../../viz/web/findings.ts';
import { Mesh, namespaceYaml, serviceYaml } from '../harness/mesh.ts';
import { RunningTulle } from '../harness/running-tulle.ts';
import { until } from '../harness/until.ts';

/** An HTTPRoute of a Service of the town, for paths that begin so. */
function routeYaml(name: string, service: string, path: string): string {
  return JSON.stringify({
    apiVersion: 'policy.linkerd.io/v1beta3',
    kind: 'HTTPRoute',
    metadata: { name, namespace: 'town' },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: service }],
      rules: [{ matches: [{ path: { type: 'PathPrefix', value: path } }] }],
    },
  });
}

/** A workload of a kind, with a Service in front of its server. */
function workloadYaml(kind: 'daemonset' | 'statefulset' | 'replicaset' | 'job' | 'pod'): string {
  const labels = { app: kind };
  const container = {
    name: 'app',
    image: 'tulle.dev/test:0.1.0',
    args: ['server'],
    readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
  };
  const spec = { containers: [container], terminationGracePeriodSeconds: 5 };
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: kind, namespace: 'kinds' },
    spec: { selector: labels, ports: [{ port: 8080 }] },
  };
  const metadata = { name: kind === 'job' ? 'job-29000000' : kind, namespace: 'kinds' };
  const template = { metadata: { labels }, spec };
  const selector = { matchLabels: labels };
  const workload = {
    daemonset: { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata, spec: { selector, template } },
    statefulset: {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata,
      spec: { serviceName: kind, selector, template },
    },
    replicaset: { apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata, spec: { selector, template } },
    job: {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata,
      spec: { template: { ...template, spec: { ...spec, restartPolicy: 'Never' } } },
    },
    pod: { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, labels }, spec },
  }[kind];
  return `${JSON.stringify(service)}\n---\n${JSON.stringify(workload)}`;
}

describe('what viz shows of counted traffic', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install([], { hasViz: true });
    await mesh.apply(namespaceYaml('town', true));
    await mesh.apply(serviceYaml('town', 'server', { args: ['server'], replicas: 1, ports: [8080] }));
    await mesh.ready('town');
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  test('tap sees each of the requests that were sent, once, and with whom', async () => {
    using tap = new RunningTulle(mesh.bed.kubeconfig, [
      'viz',
      'tap',
      'deploy/server',
      '-n',
      'town',
      '--path',
      '/upload',
    ]);
    await until('the tap to begin', 60_000, () => tap.stderr.includes('tapping 1 pods')).catch((error: unknown) => {
      throw new Error(`tap says: ${tap.stderr}`, { cause: error });
    });
    const sent = await mesh.runToEnd('town', 'sender', ['post', 'http://server.town:8080/upload', 'x', '20'], true);
    assert.match(sent, /20 of 20 answered 200/);
    await until('the last event', 10_000, () => tap.count(/^end /gm) >= 20);
    const lines = (word: string): number => tap.count(new RegExp(`^${word} .*proxy=in .*tls=true`, 'gm'));
    assert.deepEqual([lines('req'), lines('rsp'), lines('end')], [20, 20, 20], tap.stdout);
    assert.equal(tap.count(/ :status=200 /g), 20);
  });

  test('stat of the Service, of the workload and by --from agree', async () => {
    type Row = { readonly name: string; readonly success: number | null; readonly rps: number | null };
    const stat = async (...args: readonly string[]): Promise<Row> => {
      const row = await until(`stat ${args.join(' ')}`, 60_000, () => {
        const { stdout } = mesh.tulle(['viz', 'stat', ...args, '-t', '10m', '-o', 'json']);
        return (JSON.parse(stdout) as Row[]).find(({ name, rps }) => name === 'server' && rps !== null) ?? false;
      });
      assert.ok(row);
      return row;
    };
    await mesh.apply(
      serviceYaml('town', 'client', { args: ['load', 'http://server.town:8080/', '20'], replicas: 1, ports: [] }),
    );
    await mesh.ready('town');
    const rows = [
      await stat('svc/server', '-n', 'town'),
      await stat('deploy/server', '-n', 'town'),
      await stat('deploy/server', '-n', 'town', '--from', 'deploy/client'),
    ];
    assert.deepEqual(
      rows.map(({ success }) => success),
      [1, 1, 1],
    );
  });

  type Row = { readonly namespace: string; readonly kind: string; readonly name: string; readonly responses: number };
  type Route = {
    readonly route: string;
    readonly kind: string;
    readonly effective_responses: number;
    readonly effective_success: number | null;
    readonly actual_responses: number;
  };
  const json = (...args: readonly string[]): unknown => {
    const { status, stdout, stderr } = mesh.tulle(['viz', ...args, '-t', '10m', '-o', 'json']);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout) as unknown;
  };
  const deployment = async (name: string, args: readonly string[]): Promise<void> => {
    await mesh.apply(serviceYaml('town', name, { args, replicas: 1, ports: args[0] === 'server' ? [8080] : [] }));
    await mesh.ready('town');
  };
  const printed = async (name: string, line: RegExp): Promise<void> => {
    const [pod] = await mesh.pods('town', `app=${name}`);
    await until(`${name} to print ${line}`, 60_000, async () =>
      line.test(await mesh.logs('town', pod?.metadata.name ?? '', 'app')),
    );
  };

  test('stat, routes, edges and tap agree with exactly the requests that were sent', async () => {
    await deployment('counted', ['server']);
    await mesh.apply(routeYaml('uploads', 'counted', '/upload'));
    await mesh.apply(routeYaml('statuses', 'counted', '/status'));
    const routesPath = '/apis/policy.linkerd.io/v1beta3/namespaces/town/httproutes';
    await until('the routes to be accepted', 30_000, async () => {
      const all = await mesh.cluster.list(routesPath);
      return all.every((route) => JSON.stringify(route['status'] ?? {}).includes('"Accepted"'));
    });
    const command = ['viz', 'tap', 'deploy/counted', '-n', 'town', '--max-rps', '1000'];
    using tap = new RunningTulle(mesh.bed.kubeconfig, command);
    await until('the tap to begin', 60_000, () => tap.stderr.includes('tapping 1 pods'));
    const url = 'http://counted.town:8080';
    await deployment('caller', ['post', `${url}/upload,${url}/status/503,${url}/upload/more`, 'x', '20', 'stay']);
    await printed('caller', /^40 of 60 answered 200$/m);
    await until('the last event', 30_000, () => tap.count(/^end /gm) >= 60);
    const tapped = [/^req .*tls=true/gm, / :status=200 /g, / :status=503 /g, /^end /gm].map((line) => tap.count(line));
    assert.deepEqual(tapped, [60, 40, 20, 60], tap.stdout);

    const counts = (...args: readonly string[]): readonly unknown[] =>
      (json('stat', ...args) as (Row & { success: number })[]).map(({ name, responses, success }) => [
        name,
        responses,
        success,
      ]);
    const seen = [['counted', 60, 40 / 60]];
    await until('the last response to be scraped', 30_000, () => {
      const [row] = json('stat', 'svc/counted', '-n', 'town') as Row[];
      return row?.responses === 60;
    });
    await until('the server to be scraped', 30_000, () => {
      const [row] = json('stat', 'deploy/counted', '-n', 'town') as Row[];
      return row?.responses === 60;
    });
    assert.deepEqual(counts('svc/counted', '-n', 'town'), seen);
    assert.deepEqual(counts('deploy/counted', '-n', 'town'), seen);
    assert.deepEqual(counts('deploy/counted', '-n', 'town', '--from', 'deploy/caller'), seen);
    assert.deepEqual(counts('deploy/caller', '-n', 'town', '--to', 'svc/counted'), [['caller', 60, 40 / 60]]);

    const routes = (...args: readonly string[]): readonly unknown[] =>
      (json('routes', ...args) as Route[]).map((row) => [
        row.route,
        row.kind,
        row.effective_responses,
        row.effective_success,
      ]);
    const used = [
      ['statuses', 'HTTPRoute', 20, 0],
      ['uploads', 'HTTPRoute', 40, 1],
    ];
    assert.deepEqual(routes('svc/counted', '-n', 'town'), used);
    assert.deepEqual(routes('deploy/counted', '-n', 'town'), used);
    assert.deepEqual(routes('deploy/caller', '-n', 'town', '--to', 'svc/counted'), used);
    assert.deepEqual(routes('svc/counted', '-n', 'town', '--from', 'deploy/server'), []);

    const edges = json('edges', 'deploy', '-n', 'town') as Readonly<Record<string, string>>[];
    const edge = edges.find(({ src }) => src === 'caller');
    assert.equal(edge?.['dst'], 'counted');
    assert.match(edge['client_id'] ?? '', /^default\.town\./);
    assert.equal(edge['no_tls_reason'], '');
  });

  test('routes of a ServiceProfile tell attempts from what the client saw', async () => {
    await deployment('flaky', ['server']);
    await mesh.apply(
      JSON.stringify({
        apiVersion: 'linkerd.io/v1alpha2',
        kind: 'ServiceProfile',
        metadata: { name: 'flaky.town.svc.cluster.local', namespace: 'town' },
        spec: {
          routes: [{ name: 'try again', condition: { pathRegex: '/status/.*' }, isRetryable: true }],
          retryBudget: { retryRatio: 0.2, minRetriesPerSecond: 10, ttl: '10s' },
        },
      }),
    );
    await deployment('stubborn', ['post', 'http://flaky.town:8080/status/503', 'x', '20', 'stay']);
    await printed('stubborn', /^0 of 20 answered 200$/m);
    const row = await until('the routes to be scraped', 30_000, () => {
      const [route] = json('routes', 'svc/flaky', '-n', 'town') as Route[];
      return route?.effective_responses === 20 ? route : false;
    });
    assert.ok(row);
    assert.deepEqual([row.route, row.kind, row.effective_success], ['try again', 'ServiceProfile', 0]);
    assert.ok(row.actual_responses > 20, `${row.actual_responses} attempts`);
    await until('the server to have counted every attempt', 30_000, () => {
      const [own] = json('stat', 'deploy/flaky', '-n', 'town') as Row[];
      return own?.responses === row.actual_responses;
    });
  });

  test('every kind of workload is counted: at itself, by --to and by --from', async () => {
    const kinds = ['daemonset', 'statefulset', 'replicaset', 'job', 'pod'] as const;
    await mesh.apply(namespaceYaml('kinds', true));
    await mesh.apply(kinds.map((kind) => `---\n${workloadYaml(kind)}`).join('\n'));
    await until('a pod of each kind to be ready', 120_000, async () => {
      const ready = (await mesh.pods('kinds')).filter(({ status }) =>
        JSON.stringify(status).includes('"Ready","status":"True"'),
      );
      return ready.length === kinds.length;
    });
    const urls = kinds.map((kind) => `http://${kind}.kinds:8080/upload`).join(',');
    await mesh.apply(
      serviceYaml('kinds', 'caller', { args: ['post', urls, 'x', '7', 'stay'], replicas: 1, ports: [] }),
    );
    await mesh.ready('kinds');
    const names: readonly (readonly [string, string])[] = [
      ['daemonset', 'daemonset'],
      ['statefulset', 'statefulset'],
      ['replicaset', 'replicaset'],
      ['job', 'job-29000000'],
      ['cronjob', 'job'], // by the name of its Job
      ['pod', 'pod'],
    ];
    const all = (): readonly Row[] => json('stat', 'all', '-n', 'kinds') as Row[];
    const missing = (): readonly unknown[] => {
      const rows = all();
      return names.filter(
        ([kind, name]) => rows.find((row) => row.kind === kind && row.name === name)?.responses !== 7,
      );
    };
    await until('each kind to be scraped', 60_000, () => missing().length === 0).catch((error: unknown) => {
      throw new Error(`not 7: ${JSON.stringify(missing())} of ${JSON.stringify(all())}`, { cause: error });
    });
    for (const [kind, name] of names) {
      const from = json('stat', `${kind}/${name}`, '-n', 'kinds', '--from', 'deploy/caller') as Row[];
      assert.deepEqual(
        from.map(({ responses }) => responses),
        [7],
        `${kind}/${name} --from`,
      );
      const to = json('stat', 'deploy/caller', '-n', 'kinds', '--to', `${kind}/${name}`) as Row[];
      assert.deepEqual(
        to.map(({ responses }) => responses),
        [7],
        `--to ${kind}/${name}`,
      );
    }
    const [ns] = json('stat', 'ns/kinds') as Row[];
    assert.equal(ns?.responses, 7 * kinds.length);
  });

  test('what does not exist is named, with exit code 1, by every view of it', () => {
    for (const [command, message] of [
      ['stat deploy/nope', 'there is no deployment "nope" in namespace town'],
      ['stat deploy/nope -o json', 'there is no deployment "nope" in namespace town'],
      ['stat deploy/server --to svc/nope', 'there is no service "nope" in namespace town'],
      ['routes svc/nope', 'there is no service "nope" in namespace town'],
      ['tap deploy/nope', 'there is no deployment "nope" in namespace town'],
      ['tap deploy/server --to svc/nope', 'there is no service "nope" in namespace town'],
      ['top deploy/nope --once', 'there is no deployment "nope" in namespace town'],
      ['edges deploy --namespace nope', 'there is no namespace "nope"'],
    ] as const) {
      const { status, stdout, stderr } = mesh.tulle([
        'viz',
        ...command.split(' '),
        ...(command.includes('--namespace') ? [] : ['-n', 'town']),
      ]);
      assert.deepEqual([status, stdout], [1, ''], command);
      assert.ok(stderr.startsWith(`tulle: ${message}: `), stderr);
    }
  });

  test('top shows the busiest path without a failure', () => {
    const { status, stdout, stderr } = mesh.tulle([
      'viz',
      'top',
      'deploy/server',
      '-n',
      'town',
      '--once',
      '--duration',
      '3',
    ]);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^client-\S+ +server-\S+ +GET +\/ +\d+ .* 100\.00%$/m);
  });

  /** A kubeconfig of a service account that may use viz, and not tap. */
  const viewerKubeconfig = async (): Promise<string> => {
    const cluster = '/apis/rbac.authorization.k8s.io/v1';
    await mesh.cluster.request('POST', '/api/v1/namespaces/town/serviceaccounts', {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'viewer', namespace: 'town' },
    });
    await mesh.cluster.request('POST', `${cluster}/clusterroles`, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'viewer' },
      rules: [
        { apiGroups: [''], resources: ['pods', 'namespaces'], verbs: ['get', 'list'] },
        { apiGroups: [''], resources: ['pods/portforward'], verbs: ['get', 'create'] },
      ],
    });
    await mesh.cluster.request('POST', `${cluster}/clusterrolebindings`, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'viewer' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'viewer' },
      subjects: [{ kind: 'ServiceAccount', name: 'viewer', namespace: 'town' }],
    });
    const { status } = (await mesh.cluster.request('POST', '/api/v1/namespaces/town/serviceaccounts/viewer/token', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 3600 },
    })) as { status: { token: string } };
    const config = parse(readFileSync(mesh.bed.kubeconfig, 'utf8')) as { users: { user: object }[] };
    for (const entry of config.users) entry.user = { token: status.token };
    const file = join(mesh.bed.stateDirectory, 'viewer.kubeconfig');
    writeFileSync(file, stringify(config));
    return file;
  };

  test('who may not tap is refused with the reason', async () => {
    const file = await viewerKubeconfig();
    const { status: code, stderr } = mesh.tulle(['viz', 'tap', 'deploy/server', '-n', 'town', '--kubeconfig', file]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /system:serviceaccount:town:viewer.* cannot create resource "taprequests".*"tap\.tulle\.dev"/);
  });

  /** `tulle viz dashboard`, and its address. */
  const openDashboard = async (kubeconfig: string): Promise<{ running: RunningTulle; url: URL; key: string }> => {
    const running = new RunningTulle(kubeconfig, ['viz', 'dashboard', '--show', 'url', '--port', '0']);
    await until('the address of the dashboard', 60_000, () => {
      assert.equal(running.stderr.includes('tulle: '), false, running.stderr);
      return running.stdout.includes('#key=');
    });
    const url = new URL(running.stdout.trim());
    return { running, url, key: url.hash.replace('#key=', '') };
  };
  const askTap = (url: URL, key: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
    fetch(new URL('/tap', url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-tulle-key': key, ...headers },
      body: JSON.stringify({ namespace: 'town', kind: 'deployment', name: 'server' }),
      signal: AbortSignal.timeout(60_000),
    });

  test('the dashboard is served whole, with its figures, findings and taps', async () => {
    await mesh.apply(routeYaml('astray', 'nowhere', '/'));
    const { running, url, key } = await openDashboard(mesh.bed.kubeconfig);
    using _running = running;
    const page = await fetch(url);
    assert.equal(page.status, 200);
    assert.match(page.headers.get('content-security-policy') ?? '', /^default-src 'none'; script-src 'self';/);
    const html = await page.text();
    const assets = [...html.matchAll(/(?:src|href)="(\/dashboard\/[^"]+)"/g)].map(([, path = '']) => path);
    assert.ok(assets.length >= 5, html);
    for (const path of new Set(assets)) {
      const asset = await fetch(new URL(path, url));
      assert.equal(asset.status, 200, path);
      const again = await fetch(new URL(path, url), { headers: { 'if-none-match': asset.headers.get('etag') ?? '' } });
      assert.equal(again.status, 304, path);
    }
    type Overview = { readonly workloads: readonly Row[]; readonly links: readonly { readonly secured: string }[] };
    const overview = (await (await fetch(new URL('/api/overview?namespace=town', url))).json()) as Overview;
    assert.ok(overview.workloads.some(({ kind, name }) => kind === 'deployment' && name === 'counted'));
    assert.ok(overview.links.length > 0 && overview.links.every(({ secured }) => secured === 'all'));
    await until('the finding', 60_000, async () => {
      const answer = (await (await fetch(new URL('/api/findings', url))).json()) as FindingsAnswer;
      const found = answer.findings.map(formatDiagnosis);
      assert.deepEqual(
        found.filter((text) => text.includes('astray')),
        ['TL0102 httproute.policy.linkerd.io town/astray: spec.parentRefs[0]: Service town/nowhere not found'],
      );
    });
    const refused = await askTap(url, 'guessed');
    assert.equal(refused.status, 403);
    assert.match(await refused.text(), /open the address that `tulle viz dashboard` printed/);
    const tap = await askTap(url, key);
    assert.equal(tap.status, 200);
    const lines = tap.body?.pipeThrough(new TextDecoderStream()).getReader();
    let seen = '';
    while (!seen.includes('"requestInitEvent"')) seen += (await lines?.read())?.value ?? '';
    await lines?.cancel();
    running[Symbol.dispose]();
    await running.ended;
  });

  test('a dashboard of somebody without the right to tap shows why', async () => {
    const { running, url, key } = await openDashboard(join(mesh.bed.stateDirectory, 'viewer.kubeconfig'));
    using _running = running;
    const refused = await askTap(url, key);
    assert.equal(refused.status, 403);
    assert.match(await refused.text(), /system:serviceaccount:town:viewer.* cannot create resource .*taprequests/);
  });

  const program = chromium();
  const noBrowser =
    program === undefined && 'Chromium is not installed here (`apt-get install chromium`): the page is not tried';
  test(
    'the page works in a browser: every view, a live tap, and a metrics API that goes away',
    { skip: noBrowser },
    async () => {
      const { running, url } = await openDashboard(mesh.bed.kubeconfig);
      using _running = running;
      await using browser = await Browser.start(program ?? '');
      const go = (hash: string): Promise<unknown> => browser.evaluate(`location.hash = ${JSON.stringify(hash)}`);
      await browser.open(`${url.origin}/?namespace=town${url.hash}`);
      await browser.shows(/Success rate[^]*Topology[^]*Workloads/);
      await browser.evaluate(
        'windows = document.getElementById("window"); windows.value = "600000"; windows.dispatchEvent(new Event("change"))',
      );
      assert.equal(await browser.evaluate('location.hash'), '#/', 'the key is taken out of the address');
      const links = await browser.evaluate('document.querySelectorAll(".topology .link.secured-all").length');
      assert.ok(Number(links) >= 3, `${String(links)} secured links are drawn`);
      await go('#/?workload=town%2Fdeployment%2Fcaller');
      await browser.shows(/caller\s+deployment in town[^]*Calls\s+counted/i);
      await go('#/routes');
      await browser.shows(/uploads\s*HTTPRoute/);
      await go('#/findings');
      await browser.shows(/town \/ astray[^]*TL0102[^]*Service town\/nowhere not found[^]*Every link is secured/);
      await go('#/tap?workload=town%2Fdeployment%2Fserver');
      await browser.shows(/Choose a workload and start/);
      await browser.evaluate('document.querySelector(".tap-form").requestSubmit()');
      await browser.shows(/[1-9]\d* requests? seen[^]*server-[^]*GET[^]*200/);
      assert.deepEqual(browser.complaints, []);
      running[Symbol.dispose]();
      await running.ended;
      await browser.shows(/Not up to date[^]*is `tulle viz dashboard` still running\?/);
      await go('#/workloads');
      await browser.shows(/counted/);
    },
  );
});
