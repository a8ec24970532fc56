import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { COMMANDS } from './program.ts';
import { Folder, tulle } from './testing.ts';
import type { Values } from '#config/values.ts';
import { VERSION } from '#config/version.ts';

describe('the command line', () => {
  const folder = new Folder();
  const valueFiles = new Folder();
  after(() => {
    folder[Symbol.dispose]();
    valueFiles[Symbol.dispose]();
  });

  test('every command has help with examples that name it, and flags that explain themselves', async () => {
    for (const { path, examples, flags, summary } of COMMANDS) {
      const { code, out, err } = await tulle([...path, '--help']);
      assert.deepEqual([code, err], [0, ''], path.join(' '));
      assert.match(
        out,
        new RegExp(`^${summary.slice(0, 20)}[^]*Usage: tulle ${path.join(' ')}[^]*Examples:\n  .*tulle [^]*--help`),
      );
      assert.ok(examples.length > 0);
      for (const flag of Object.values(flags)) assert.ok(flag.help.length > 3);
      assert.ok(
        out.split('\n').every((line) => line.length <= 160),
        `a long line in the help of ${path.join(' ')}`,
      );
      assert.equal((await tulle(['help', ...path])).out, out);
    }
  });

  test('the examples of the help are accepted as they are written', async () => {
    for (const { path, examples } of COMMANDS) {
      for (const example of examples) {
        const [, words = ''] = /tulle ([^|>)]*)/.exec(example) ?? [];
        const { code } = await tulle([...words.trim().split(/\s+/), '--help']);
        assert.equal(code, 0, `${path.join(' ')}: ${example}`);
      }
    }
  });

  test('without a command the commands are listed', async () => {
    const { code, out } = await tulle([]);
    assert.equal(code, 0);
    for (const { path } of COMMANDS) assert.match(out, new RegExp(`^  ${path.join(' ')} `, 'm'));
    assert.deepEqual(await tulle(['--help']), { code: 0, out, err: '' });
    const viz = await tulle(['viz']);
    assert.equal(viz.code, 2);
    assert.match(viz.out, /viz stat/);
    assert.doesNotMatch(viz.out, /^ {2}check /m);
  });

  test('mistakes are one line with status 2', async () => {
    const badYaml = valueFiles.write('bad.yaml', 'proxy: {logLevel: [}\n');
    const badValues = valueFiles.write('bad-values.yaml', 'controlerReplicas: 3\nimage: 5\n');
    for (const [argv, message] of [
      [['instal'], /unknown command "instal": did you mean "install"\?/],
      [['viz', 'stats'], /unknown command "viz stats": did you mean "viz stat"\?/],
      [['frobnicate', 'x'], /unknown command "frobnicate" \(`tulle help` lists the commands\)/],
      [['help', 'frobnicate'], /unknown command "frobnicate"/],
      [['-L', 'x', 'check'], /unknown flag -L: a command comes first/],
      [['version', '--clinet'], /unknown flag --clinet: did you mean --client\?/],
      [['version', 'extra'], /unexpected argument "extra"/],
      [['check', '--wait', '5'], /--wait: "5" is not a duration/],
      [['check', '--pre', '--proxy'], /--pre and --proxy exclude each other/],
      [['check', '--linkerd-cni-enabled'], /--linkerd-cni-enabled needs --pre/],
      [['check', '-n', 'shop'], /--namespace needs --proxy/],
      [['viz', 'stat', 'deploy', '-t', '1s'], /--time-window is 1s: use 15s to 10m/],
      [['install', '--proxy-log-level', 'verbose'], /--proxy-log-level is "verbose": use off, error/],
      [['check', '-o', 'yaml'], /--output is "yaml": use one of table, short, json/],
      [['check', '-n', 'a/b'], /--namespace is "a\/b", which cannot be a name/],
      [['viz', 'stat'], /name a kind/],
      [['viz', 'stat', 'secret'], /"secret" is not a kind of workload: use one of deployment/],
      [['viz', 'stat', 'deploy', '-t', 'soon'], /--time-window: "soon" is not a duration/],
      [['viz', 'edges', 'deploy/web'], /not for one object/],
      [['diagnostics', 'proxy-metrics'], /name one workload/],
      [['completion', 'tcsh'], /name a shell: bash, zsh, fish/],
      [['inject'], /name a file, a folder or -/],
      [['inject', '-', '--opaque-ports', '99999'], /--opaque-ports: "99999" is not a port/],
      [['inject', '-', '--proxy-cpu-limit', 'lots'], /--proxy-cpu-limit: "lots" is not a quantity/],
      [
        ['inject', '-', '--default-inbound-policy', 'maybe'],
        /--default-inbound-policy is "maybe": use one of all-unauth/,
      ],
      [['inject', '-', '-n', 'shop'], /--namespace is for --manual/],
      [['install', '--default-inbound-policy', 'maybe'], /--default-inbound-policy is "maybe": use one of/],
      [['install', '--controller-replicas', 'many'], /--controller-replicas is "many": use a whole number/],
      [['install', '--controller-replicas', '0'], /--controller-replicas is 0: use a whole number/],
      [['install', '--identity-issuance-lifetime', '1s'], /--identity-issuance-lifetime is "1s": use at least 20s/],
      [['install', '--identity-issuance-lifetime', 'x'], /--identity-issuance-lifetime is "x": use a duration such as/],
      [['install', '--cluster-domain', 'Not_DNS'], /--cluster-domain is "Not_DNS": use a DNS name/],
      [['install', '--proxy-log-level', 'very loud'], /--proxy-log-level is "very loud"/],
      [['install', '--image', 'a b'], /--image is "a b"/],
      [['install', '--ha', '--tiny'], /--ha and --tiny exclude each other/],
      [['install', '--set', 'proxy.loglevel=info'], /--set: proxy.loglevel is no .* did you mean proxy.logLevel\?/],
      [['install', '-f', '/nowhere/values.yaml'], /--values \/nowhere\/values.yaml: there is no such file/],
      [['install', '-f', badYaml], /--values .*bad.yaml: .* at line 1, column /],
      [
        ['install', '-f', badValues],
        /bad-values.yaml: controlerReplicas is no .* did you mean controllerReplicas\?; .*image is 5: use text/,
      ],
      [['config', '--schema', '--ha'], /--schema shows the defaults/],
      [['viz', 'install', '--image', ''], /--image is ""/],
    ] as const) {
      const { code, out, err } = await tulle(argv, 'kind: Pod\nmetadata: {name: p}\n');
      assert.match(err, message, argv.join(' '));
      assert.match(err, /^tulle: [^\n]+\n$/, argv.join(' '));
      assert.deepEqual([code, out], [2, ''], argv.join(' '));
    }
  });

  test('values come from defaults, presets, files in order, flags and --set, later ones winning', async () => {
    const first = valueFiles.write('first.yaml', 'proxy: {logLevel: warn, opaquePorts: "25"}\ncontrollerReplicas: 4\n');
    const second = valueFiles.write('second.yaml', '{"proxy": {"logLevel": "error"}, "controllerUid": 1000}');
    const flags = ['--ha', '-f', first, '-f', second, '--proxy-log-level', 'debug', '--controller-log-level', 'debug'];
    const { out } = await tulle(['config', ...flags, '--set', 'controllerLogLevel=warn', '-o', 'json']);
    const { proxy, ...values } = JSON.parse(out) as Values;
    assert.deepEqual(
      [values.highAvailability, values.controllerReplicas, values.controllerUid, values.controllerLogLevel],
      [true, 4, 1000, 'warn'],
    );
    assert.deepEqual([proxy.logLevel, proxy.opaquePorts, proxy.resources.cpuRequest], ['debug', '25', '100m']);
  });

  test('the trust domain follows the cluster domain unless it was chosen', async () => {
    const trustDomain = async (...flags: string[]): Promise<string> =>
      (JSON.parse((await tulle(['config', '-o', 'json', ...flags])).out) as Values).identityTrustDomain;
    assert.equal(await trustDomain('--cluster-domain', 'example.org'), 'example.org');
    assert.equal(await trustDomain('--cluster-domain', 'example.org', '--identity-trust-domain', 'a.b'), 'a.b');
    const set = ['--set', 'clusterDomain=example.org', '--set', 'identityTrustDomain=cluster.local'];
    assert.equal(await trustDomain(...set), 'cluster.local');
  });

  test('--gateway-api adds definitions to the whole manifest as to the definitions alone, and says what applying does', async () => {
    const route = /^ {2}name: httproutes\.gateway\.networking\.k8s\.io$/m;
    const whole = await tulle(['install', '--gateway-api']);
    assert.equal(whole.code, 0);
    assert.match(whole.err, /^note: definitions of Gateway API are in the manifest: where some exist, `kubectl apply`/);
    assert.match(whole.out, route);
    assert.match(whole.out, /^kind: Deployment$/m);
    const alone = await tulle(['install', '--crds', '--gateway-api']);
    assert.match(alone.out, route);
    assert.doesNotMatch(alone.out, /^kind: Deployment$/m);
    assert.doesNotMatch((await tulle(['install'])).out, route);
  });

  test('version --client needs no cluster', async () => {
    assert.deepEqual(await tulle(['version', '--client']), { code: 0, out: `Client version: ${VERSION}\n`, err: '' });
    assert.equal((await tulle(['version', '--client', '--short'])).out, `${VERSION}\n`);
  });

  test('inject reads files, folders and standard input, and tells on standard error what it did', async () => {
    folder.write('b.yml', 'kind: Service\nmetadata: {name: b}\n');
    folder.write('a.json', '{"kind": "Deployment", "metadata": {"name": "a"}}');
    folder.write('note.txt', 'not: [yaml');
    const { code, out, err } = await tulle(['inject', folder.path, '-'], 'kind: Pod\nmetadata: {name: c}\n');
    assert.equal(code, 0);
    assert.equal(err, 'deployment "a" injected\nservice "b" skipped\npod "c" injected\n');
    assert.equal(out.match(/^---$/gm)?.length, 3);
    const disabled = await tulle(['inject', '-', '--disable'], 'kind: Pod\nmetadata: {name: c}\n');
    assert.match(disabled.out, /linkerd\.io\/inject: disabled/);
  });

  test('inject prints nothing when one of its inputs is wrong', async () => {
    folder.write('a.json', '{"kind": "Deployment", "metadata": {"name": "a"}}');
    const broken = folder.write('z.yaml', 'kind: Pod\nmetadata: [\n');
    for (const [args, message] of [
      [[folder.path], `tulle: ${broken}: `],
      [[`${folder.path}/nothing.yaml`], `tulle: ${folder.path}/nothing.yaml: there is no such file or folder`],
      [['-'], 'tulle: standard input: there is no Kubernetes object in it'],
    ] as const) {
      const { code, out, err } = await tulle(['inject', ...args]);
      assert.deepEqual([code, out], [1, '']);
      assert.ok(err.startsWith(message), err);
      assert.match(err, /^[^\n]+\n$/);
    }
  });
});
