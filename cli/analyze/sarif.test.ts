import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { asList, asObject, type JsonObject } from '#k8s/json.ts';
import { CODES, type Code } from '../../control-plane/diagnosis/codes.ts';
import { diagnose } from '../../control-plane/diagnosis/diagnosis.ts';
import { checkSchema } from '../../control-plane/findings/schema.ts';
import { sarif } from './sarif.ts';

const SCHEMA = parse(readFileSync(join(import.meta.dirname, 'testdata/sarif-2.1.0.yaml'), 'utf8')) as JsonObject;
const FILES = ['shop.yaml', 'a folder/ü&?#.yaml', '/tmp/it’s [here].yaml', '-'];

test('whatever is found is valid SARIF: required properties and no others, and results that refer to their rule', () => {
  const findings = Object.keys(CODES).map((code, index) => ({
    ...diagnose(
      code as Code,
      {
        group: index % 2 === 0 ? '' : 'policy.linkerd.io',
        kind: 'Server',
        namespace: index % 3 === 0 ? '' : 'shop',
        name: 'web',
      },
      'spec.rules[0]',
      `"quoted" and\nbroken ${index}`,
    ),
    ...(index % 5 > 0 && { location: { file: FILES[index % FILES.length] ?? '', line: index + 1 } }),
  }));
  const log = JSON.parse(JSON.stringify(sarif(findings, '/checkout'))) as JsonObject;
  assert.deepEqual(checkSchema(log, SCHEMA), { unknown: [], wrong: [] });
  const [run] = asList(log['runs']).map(asObject);
  const rules = asList(asObject(asObject(run?.['tool'])['driver'])['rules']).map(asObject);
  const results = asList(run?.['results']).map(asObject);
  assert.equal(results.length, findings.length);
  for (const { ruleId, ruleIndex } of results) assert.equal(rules[Number(ruleIndex)]?.['id'], ruleId);
  assert.equal(new Set(rules.map(({ id }) => id)).size, rules.length);
});

test('the check of the form finds what SARIF does not allow', () => {
  const log = JSON.parse(
    JSON.stringify(
      sarif([{ ...diagnose('TL0001', ABOUT, 'spec', 'm'), location: { file: 'a b', line: 0 } }], '/checkout'),
    ),
  ) as { version: string; runs: { results: { level: string; more?: string }[] }[] };
  log.version = '2.0.0';
  const [result] = log.runs[0]?.results ?? [];
  assert.ok(result);
  result.level = 'fatal';
  result.more = 'x';
  const { unknown, wrong } = checkSchema(log, SCHEMA);
  const fields = [...unknown, ...wrong].map(({ field }) => field);
  assert.deepEqual(fields.toSorted(), [
    'runs[0].results[0].level',
    'runs[0].results[0].locations[0].physicalLocation.region.startLine',
    'runs[0].results[0].more',
    'version',
  ]);
});

test('files below the folder are named relative to it, others absolutely', () => {
  const files = [
    'shop.yaml',
    './manifests/../a b.yaml',
    '/checkout/m/shop.yaml',
    '../other.yaml',
    '/checkouts/x.yaml',
    '..x',
  ];
  const findings = files.map((file) => ({ ...diagnose('TL0001', ABOUT, 'spec', 'm'), location: { file, line: 1 } }));
  const { runs } = sarif(findings, '/checkout') as {
    runs: { results: { locations: { physicalLocation: { artifactLocation: { uri: string } } }[] }[] }[];
  };
  assert.deepEqual(
    runs[0]?.results.map(({ locations }) => locations[0]?.physicalLocation.artifactLocation.uri),
    ['shop.yaml', 'a%20b.yaml', 'm/shop.yaml', 'file:///other.yaml', 'file:///checkouts/x.yaml', '..x'],
  );
});

const ABOUT = { group: '', kind: 'Service', namespace: 'shop', name: 'web' };
