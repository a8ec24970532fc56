import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusError } from '../status-error.ts';
import { matchesFields, parseFieldSelector } from './field-selectors.ts';
import { labelSelectorOf, matchesLabels, parseLabelSelector, printLabelSelector, selectorOfMap } from './selectors.ts';

const web = { app: 'web', tier: 'front', empty: '', weight: '10' };

test('label selectors in text form match as the API says', () => {
  const cases: readonly (readonly [selector: string, matches: boolean])[] = [
    ['', true],
    ['app=web', true],
    ['app==web', true],
    [' app = web ', true],
    ['app!=web', false],
    ['missing!=web', true],
    ['app in (web,api)', true],
    ['app in (api)', false],
    ['app notin (web)', false],
    ['missing notin (web)', true],
    ['app', true],
    ['!app', false],
    ['!missing', true],
    ['empty=', true],
    ['empty in ()', true],
    ['app in (,web)', true],
    ['app=web,tier=front', true],
    ['app=web,tier=back', false],
    ['weight>9', true],
    ['weight<9', false],
    ['app>9', false],
    ['in=web', false],
    ['app=in', false],
    ['constructor', false],
    ['!toString', true],
    ['app,', true],
  ];
  for (const [selector, matches] of cases) {
    if (selector === 'app,') {
      assert.throws(() => parseLabelSelector(selector), /identifier after ','/);
      continue;
    }
    assert.equal(matchesLabels(parseLabelSelector(selector), web), matches, selector);
  }
});

test('a malformed label selector is a bad request that says what was found', () => {
  const cases: readonly (readonly [selector: string, message: string])[] = [
    ['=x', "found '=', expected: !, identifier, or 'end of string'"],
    ['a b', "unable to parse requirement: found 'b', expected: =, ==, in, notin, !=, >, <"],
    ['a in b', "unable to parse requirement: found 'b' expected: '('"],
    ['a in (b', "unable to parse requirement: found '', expected: ',' or ')'"],
    ['a=b=c', "found '=', expected: ',' or 'end of string'"],
    [
      'a>x',
      `unable to parse requirement: values[0]: Invalid value: "x": for 'Gt', 'Lt' operators, the value must be an integer`,
    ],
    ['a,,b', "found ',', expected: identifier after ','"],
  ];
  for (const [selector, message] of cases) {
    assert.throws(
      () => parseLabelSelector(selector),
      (error) => error instanceof StatusError && error.code === 400 && error.message === message,
      selector,
    );
  }
  assert.throws(() => parseLabelSelector('-a=b'), /Invalid value: "-a": name part must consist of alphanumeric/);
  assert.throws(() => parseLabelSelector(`${'a,'.repeat(40_000)}a`), /longer than/);
});

test('an absent LabelSelector matches nothing, an empty one everything', () => {
  assert.equal(matchesLabels(labelSelectorOf(undefined), web), false);
  assert.equal(matchesLabels(labelSelectorOf({}), web), true);
  assert.equal(matchesLabels(selectorOfMap({}), web), false);
  assert.equal(matchesLabels(selectorOfMap({ app: 'web' }), web), true);
});

test('matchLabels and matchExpressions must all hold', () => {
  const selector = {
    matchLabels: { app: 'web' },
    matchExpressions: [
      { key: 'tier', operator: 'In', values: ['front', 'back'] },
      { key: 'old', operator: 'DoesNotExist' },
      { key: 'app', operator: 'Exists' },
      { key: 'tier', operator: 'NotIn', values: ['back'] },
    ],
  };
  assert.equal(matchesLabels(labelSelectorOf(selector), web), true);
  assert.equal(matchesLabels(labelSelectorOf(selector), { ...web, old: 'yes' }), false);
  assert.equal(matchesLabels(labelSelectorOf(selector), undefined), false);
  assert.equal(printLabelSelector(labelSelectorOf(selector)), 'app=web,app,!old,tier in (back,front),tier!=back');
  assert.throws(
    () => labelSelectorOf({ matchExpressions: [{ key: 'a', operator: 'Like' }] }),
    /"Like" is not a valid label selector/,
  );
  assert.throws(
    () => labelSelectorOf({ matchExpressions: [{ key: 'a', operator: 'In' }] }),
    /values set can't be empty/,
  );
});

const pod = {
  metadata: { name: 'p', namespace: 'ns' },
  spec: { nodeName: 'node-1' },
  status: { phase: 'Running', podIPs: [{ ip: '10.0.0.1' }] },
};

test('field selectors read absent fields as empty or as the zero value', () => {
  const cases: readonly (readonly [selector: string, matches: boolean])[] = [
    ['', true],
    ['metadata.name=p', true],
    ['metadata.name==p,metadata.namespace=ns', true],
    ['metadata.name!=p', false],
    ['spec.nodeName=node-1,status.phase!=Succeeded,status.phase!=Failed', true],
    ['spec.host=node-1', true],
    ['status.nominatedNodeName=', true],
    ['spec.hostNetwork=false', true],
    ['status.podIPs=10.0.0.1', true],
    ['status.phase=Run\\,ning', false],
  ];
  for (const [selector, matches] of cases) {
    assert.equal(matchesFields(parseFieldSelector(selector, 'pods'), pod), matches, selector);
  }
});

test('events are selected by the object they are about', () => {
  const event = {
    metadata: { name: 'e' },
    involvedObject: { kind: 'Pod', name: 'p', uid: 'u' },
    source: { component: 'kubelet' },
  };
  const selector = parseFieldSelector('involvedObject.name=p,involvedObject.uid=u,source=kubelet', 'events');
  assert.equal(matchesFields(selector, event), true);
});

test('an unknown field is refused in the words of its kind', () => {
  assert.throws(
    () => parseFieldSelector('spec.x=1', 'widgets.demo.io'),
    (error) =>
      error instanceof StatusError &&
      error.code === 400 &&
      error.message === '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
  );
  assert.throws(() => parseFieldSelector('spec.x=1', 'pods'), /^StatusError: field label not supported: spec\.x$/);
  assert.throws(
    () => parseFieldSelector('nonsense', 'pods'),
    /invalid selector: 'nonsense'; can't understand 'nonsense'/,
  );
  assert.throws(() => parseFieldSelector('metadata.name=a=b', 'pods'), /unescaped character in value: 61/);
  assert.throws(() => parseFieldSelector('metadata.name=a\\b', 'pods'), /invalid escape sequence: \\b/);
  assert.throws(() => parseFieldSelector('__proto__=a', 'constructor'), /is not a known field selector/);
});

test('a custom resource is selected by the selectable fields of its version', () => {
  const selector = parseFieldSelector('spec.color=blue', 'widgets.demo.io', ['.spec.color']);
  assert.equal(matchesFields(selector, { spec: { color: 'blue' } }), true);
  assert.equal(matchesFields(selector, { spec: {} }), false);
});
