import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { CommandError } from './command.ts';
import { injectYaml, uninjectYaml } from './inject-yaml.ts';

const ENABLED = { 'linkerd.io/inject': 'enabled' };
const inject = (text: string, annotations: Readonly<Record<string, string>> = ENABLED): ReturnType<typeof injectYaml> =>
  injectYaml('web.yaml', text, annotations);

/** As kubectl reads it. */
function read(yaml: string): readonly unknown[] {
  return parseAllDocuments(yaml, { version: '1.1' }).map((document) => document.toJS() as unknown);
}
function at(object: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], object);
}

function problem(text: string): string {
  try {
    inject(text);
  } catch (error) {
    assert.ok(error instanceof CommandError, String(error));
    assert.doesNotMatch(error.message, /\n/);
    return error.message;
  }
  throw new assert.AssertionError({ message: 'it was accepted' });
}

describe('inject', () => {
  test('every kind of workload gets the annotation where its pods take it from', () => {
    const places = {
      Pod: 'metadata',
      Namespace: 'metadata',
      Deployment: 'spec.template.metadata',
      ReplicaSet: 'spec.template.metadata',
      ReplicationController: 'spec.template.metadata',
      StatefulSet: 'spec.template.metadata',
      DaemonSet: 'spec.template.metadata',
      Job: 'spec.template.metadata',
      CronJob: 'spec.jobTemplate.spec.template.metadata',
    };
    for (const [kind, place] of Object.entries(places)) {
      const { output, report } = inject(`kind: ${kind}\nmetadata:\n  name: web\n`);
      assert.deepEqual(at(read(output)[0], `${place}.annotations`), ENABLED, kind);
      assert.deepEqual(report, [`${kind.toLowerCase()} "web" ${kind === 'Namespace' ? 'annotated' : 'injected'}`]);
    }
  });

  test('other kinds pass unchanged', () => {
    const text = '---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\ndata:\n  a: "1"\n';
    assert.deepEqual(inject(text), { output: text, report: ['configmap "web" skipped'] });
  });

  test('a Service takes only the opaque ports, since it has no pods of its own', () => {
    const text = 'kind: Service\nmetadata: {name: web}\n';
    assert.deepEqual(inject(text).report, ['service "web" skipped']);
    const { output, report } = inject(text, { ...ENABLED, 'config.linkerd.io/opaque-ports': '4567' });
    assert.deepEqual(at(read(output)[0], 'metadata.annotations'), { 'config.linkerd.io/opaque-ports': '4567' });
    assert.deepEqual(report, ['service "web" annotated']);
  });

  test('the items of a List, several documents and JSON are all workloads', () => {
    const list = JSON.stringify({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        { kind: 'Pod', metadata: { name: 'a' } },
        { kind: 'CronJob', metadata: { name: 'b' } },
        { kind: 'Secret', metadata: { name: 'c' } },
      ],
    });
    const { output, report } = inject(`${list}\n---\n# nothing here\n---\nkind: Deployment\nmetadata: {name: d}\n`);
    assert.deepEqual(report, [
      'pod "a" injected',
      'cronjob "b" injected',
      'secret "c" skipped',
      'deployment "d" injected',
    ]);
    const [first, second] = read(output) as [{ items: unknown[] }, unknown];
    assert.deepEqual(at(first.items[0], 'metadata.annotations'), ENABLED);
    assert.deepEqual(at(first.items[1], 'spec.jobTemplate.spec.template.metadata.annotations'), ENABLED);
    assert.deepEqual(at(second, 'spec.template.metadata.annotations'), ENABLED);
  });

  test('comments, order and the form of every value are kept', () => {
    const text = `---
# who owns this
kind: Deployment # the usual
metadata:
  name: web
spec:
  template:
    metadata:
      annotations:
        # ours
        team: "7"
    spec:
      volumes:
        - configMap: {name: c, defaultMode: 0644}
      containers:
        - command: [sh, -c, 'exit 0'] # an end
          env:
            - {name: SWITCH, value: "on"}
            - name: EMPTY
              value:
          big: 12345678901234567890
          text: |
            two
            lines
          long: ${'word '.repeat(40).trim()}
`;
    assert.equal(
      inject(text).output,
      text.replace('        team: "7"\n', '        team: "7"\n        linkerd.io/inject: enabled\n'),
    );
  });

  test('a value that YAML would read as a number or a truth value is quoted', () => {
    for (const value of ['4567', '25,3306', 'yes', '', '0644', '1e3', 'all-authenticated']) {
      const annotations = { 'config.linkerd.io/opaque-ports': value };
      assert.deepEqual(
        at(read(inject('kind: Pod\nmetadata: {name: p}\n', annotations).output)[0], 'metadata.annotations'),
        annotations,
      );
    }
  });

  test('what was injected can be injected again: values are replaced, nothing is repeated', () => {
    const once = inject('kind: Pod\nmetadata:\n  name: p\n').output;
    assert.equal(inject(once).output, once);
    assert.match(inject(once, { 'linkerd.io/inject': 'disabled' }).output, /^ +linkerd\.io\/inject: disabled$/m);
  });

  test('empty maps on the way are filled, and an anchor is followed', () => {
    const { output } = inject('kind: Pod\nmetadata:\n  name: p\n  annotations:\n');
    assert.deepEqual(at(read(output)[0], 'metadata.annotations'), ENABLED);
    const shared = inject('shared: &a {team: x}\nkind: Pod\nmetadata:\n  name: p\n  annotations: *a\n').output;
    assert.deepEqual(at(read(shared)[0], 'metadata.annotations'), { team: 'x', ...ENABLED });
  });

  test('an input without objects gives nothing', () => {
    for (const text of ['', '\n', '---\n', '# only a comment\n', 'null\n'])
      assert.deepEqual(inject(text), { output: '', report: [] });
  });

  test('broken YAML is named with source and line', () => {
    assert.match(problem('kind: Pod\nmetadata: [a\n'), /^web\.yaml: .* at line \d+, column \d+$/);
    assert.match(problem('{"kind": "Pod",'), /^web\.yaml: .* at line 1, column \d+$/);
    assert.match(problem('kind: Pod\nkind: Pod\n'), /^web\.yaml: Map keys must be unique at line 2, column 1$/);
  });

  test('documents that are no objects are named', () => {
    assert.match(problem('- 1\n- 2\n'), /^web\.yaml: a document is not a Kubernetes object/);
    assert.match(problem('just text\n'), /^web\.yaml: a document is not a Kubernetes object/);
    assert.equal(problem('kind: Pod\n'), 'web.yaml: an object has no kind or no metadata.name');
    assert.equal(problem('kind: List\nitems: [1]\n'), 'web.yaml: an item of a List is not an object');
    assert.equal(
      problem('kind: Pod\nmetadata: {name: p, annotations: [1]}\n'),
      'web.yaml: pod "p": metadata.annotations is not a map',
    );
  });

  test('a workload on the host network is refused by name', () => {
    const text = 'kind: DaemonSet\nmetadata: {name: agent}\nspec: {template: {spec: {hostNetwork: true}}}\n';
    assert.match(problem(text), /^web\.yaml: daemonset "agent": hostNetwork is enabled/);
    assert.deepEqual(inject(text.replace('true', 'false')).report, ['daemonset "agent" injected']);
  });
});

describe('uninject', () => {
  test('gives back what inject was given', () => {
    for (const text of [
      '---\nkind: Namespace\nmetadata:\n  name: shop\n',
      '---\nkind: Deployment # web\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      mode: 0644\n',
      '---\nkind: CronJob\nmetadata:\n  name: c\nspec:\n  jobTemplate:\n    spec:\n      template:\n        metadata:\n          annotations:\n            mine: "1"\n',
    ]) {
      const { output, report } = uninjectYaml('x', inject(text).output);
      // The map that inject had to make for its annotation stays behind, empty.
      assert.equal(output.replace(/\n *metadata: \{\}/, ''), text);
      assert.match(report.join(), /^\w+ "\w+" uninjected$/);
    }
  });

  test('a pod that was read out of a cluster loses its proxy', () => {
    const pod = {
      kind: 'Pod',
      metadata: {
        name: 'web-1',
        annotations: { 'linkerd.io/proxy-version': '0.1.0', 'config.linkerd.io/opaque-ports': '25', mine: '1' },
        labels: { app: 'web', 'linkerd.io/control-plane-ns': 'tulle', 'linkerd.io/proxy-deployment': 'web' },
      },
      spec: {
        initContainers: [{ name: 'linkerd-init' }, { name: 'linkerd-proxy' }, { name: 'own' }],
        containers: [{ name: 'app' }],
        volumes: [{ name: 'linkerd-identity-token' }, { name: 'data' }],
      },
    };
    const { output, report } = uninjectYaml('x', JSON.stringify(pod));
    assert.deepEqual(report, ['pod "web-1" uninjected']);
    assert.deepEqual(read(output)[0], {
      kind: 'Pod',
      metadata: {
        name: 'web-1',
        annotations: { 'config.linkerd.io/opaque-ports': '25', mine: '1' },
        labels: { app: 'web' },
      },
      spec: { initContainers: [{ name: 'own' }], containers: [{ name: 'app' }], volumes: [{ name: 'data' }] },
    });
    const bare = { ...pod, spec: { initContainers: [{ name: 'linkerd-init' }], containers: [{ name: 'app' }] } };
    assert.deepEqual(at(read(uninjectYaml('x', JSON.stringify(bare)).output)[0], 'spec'), {
      containers: [{ name: 'app' }],
    });
  });

  test('disabled stays disabled; what has nothing of ours, Services and other kinds pass unchanged', () => {
    for (const text of [
      '---\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    linkerd.io/inject: disabled\n',
      '---\nkind: Deployment\nmetadata:\n  name: d\nspec: null\n',
      '---\nkind: Service\nmetadata:\n  name: s\n  annotations:\n    config.linkerd.io/opaque-ports: "25"\n',
      '---\nkind: ConfigMap\nmetadata:\n  name: c\n  annotations:\n    linkerd.io/inject: enabled\n',
    ]) {
      const { output, report } = uninjectYaml('x', text);
      assert.equal(output, text);
      assert.match(report.join(), /skipped$/);
    }
  });

  test('an anchor is followed, and broken input is named', () => {
    const text =
      'kind: Pod\nmetadata:\n  name: p\n  labels: &l {"linkerd.io/workload-ns": a, app: x}\n  annotations: *l\n';
    assert.match(uninjectYaml('x', text).output, /labels: &l \{ ?app: x ?\}/);
    assert.throws(() => uninjectYaml('x.yaml', 'kind: ['), /^CommandError: x\.yaml: .* at line 1/);
  });
});
