import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import type { JsonObject } from '#k8s/json.ts';
import { parsePortSet } from '#model/port-set.ts';
import { policyContextOf } from '../../injector/policy-webhook.ts';
import { renderCrds, renderGatewayApiCrds } from '../install/render.ts';
import { analyze } from './analyze.ts';
import { CODES, codeTable } from '../diagnosis/codes.ts';
import type { Diagnosis } from '../diagnosis/diagnosis.ts';
import { schemasOf } from './schema.ts';

const FOLDER = join(import.meta.dirname, 'testdata');
const CASES_MIN = 300;

/** A finding: `TL0404 TrafficSplit/t spec.service`, and what its message says among other things. */
type Expected = { readonly place: string; readonly says: string };
type Case = {
  readonly name: string;
  readonly objects: readonly JsonObject[];
  readonly isWholeCluster: boolean;
  readonly expected: readonly Expected[];
};

/** One set of objects. */
type Single = {
  readonly case: string;
  readonly isWholeCluster?: boolean; // the objects are all that a cluster has
  readonly with?: readonly string[];
  readonly objects: readonly JsonObject[];
  readonly expect: readonly string[];
};

/**
 * One object with changes: what they are, fields with values (null: the field is not there), findings. A finding may be followed by
 * `: ` and a part of its message.
 */
type Table = {
  readonly table: string;
  readonly with?: readonly string[];
  readonly objects?: readonly JsonObject[];
  readonly object: JsonObject;
  readonly rows: readonly (readonly [string, Readonly<Record<string, unknown>>, ...string[]])[];
};

const BASES = read('bases.yaml') as Readonly<Record<string, readonly JsonObject[]>>;
const VALUES = defaultValues(VERSION);
const CONTEXT = {
  policy: policyContextOf(VALUES),
  clusterDomain: VALUES.clusterDomain,
  opaquePorts: parsePortSet(VALUES.proxy.opaquePorts).ports,
  globalEgressNamespace: VALUES.egress.globalEgressNetworkNamespace,
  defaultNamespace: 'default',
  isRedirectedByNode: false,
  isWholeCluster: false,
};
const SCHEMAS = schemasOf([
  ...renderCrds(VALUES),
  ...renderGatewayApiCrds(),
] as readonly unknown[] as readonly JsonObject[]);
const CASES = readdirSync(FOLDER)
  .filter((file) => file !== 'bases.yaml')
  .flatMap((file) => (read(file) as readonly (Single | Table)[]).flatMap(casesOf));

function read(file: string): unknown {
  return parse(readFileSync(join(FOLDER, file), 'utf8'));
}

function casesOf(entry: Single | Table): readonly Case[] {
  const base = (entry.with ?? []).flatMap((name) => BASES[name] ?? assert.fail(`there is no base "${name}"`));
  if ('case' in entry)
    return [
      {
        name: entry.case,
        objects: [...base, ...entry.objects],
        isWholeCluster: entry.isWholeCluster ?? false,
        expected: entry.expect.map(expectedOf),
      },
    ];
  return entry.rows.map(([what, changes, ...findings]) => {
    const object = changed(entry.object, changes);
    const { kind, metadata } = object as { readonly kind: string; readonly metadata: { readonly name: string } };
    const expected = findings.map(expectedOf).map(({ place, says }) => {
      const [code, second = '', third] = place.split(' ');
      return { place: third === undefined ? `${code} ${kind}/${metadata.name} ${second}` : place, says };
    });
    const objects = [...base, ...(entry.objects ?? []), object];
    return { name: `${entry.table}: ${what}`, objects, isWholeCluster: false, expected };
  });
}

function expectedOf(text: string): Expected {
  const [place = '', ...says] = text.split(': ');
  return { place, says: says.join(': ') };
}

function changed(object: JsonObject, changes: Readonly<Record<string, unknown>>): JsonObject {
  const copy = structuredClone(object) as Record<string, unknown>;
  for (const [path, value] of Object.entries(changes)) {
    const parts = [...path.matchAll(/\[([^\]]*)\]|[^.[\]]+/g)].map(([part, inBrackets]) => inBrackets ?? part);
    const [last = '', ...parents] = parts.toReversed();
    let at = copy;
    for (const [index, part] of parents.toReversed().entries()) {
      at[part] ??= /^\d+$/.test(parts[index + 1] ?? '') ? [] : {};
      at = at[part] as Record<string, unknown>;
    }
    if (value === null) delete at[last];
    else at[last] = value;
  }
  return copy;
}

function findingsIn(objects: readonly JsonObject[]): readonly string[] {
  return analyze(objects, CONTEXT, SCHEMAS).map(placeOf);
}

function placeOf({ code, kind, name, subject }: Diagnosis): string {
  return `${code} ${kind}/${name} ${subject}`;
}

for (const { name, objects, isWholeCluster, expected } of CASES) {
  test(name, () => {
    const found = analyze(objects, { ...CONTEXT, isWholeCluster }, SCHEMAS);
    assert.deepEqual(found.map(placeOf).toSorted(), expected.map(({ place }) => place).toSorted());
    for (const { place, says } of expected) {
      const messages = found.filter((one) => placeOf(one) === place).map(({ message }) => message);
      assert.ok(
        messages.some((message) => message.includes(says)),
        `${messages.join(' | ')}: does not say "${says}"`,
      );
    }
  });
}

test('the corpus is large, no case is there twice, and each code that is documented is expected somewhere', () => {
  assert.ok(CASES.length >= CASES_MIN, `${CASES.length} cases`);
  assert.equal(new Set(CASES.map(({ name }) => name)).size, CASES.length);
  assert.equal(
    new Set(CASES.map(({ objects }) => JSON.stringify(objects))).size,
    CASES.length,
    'cases with the same objects',
  );
  const seen = new Set(CASES.flatMap(({ expected }) => expected.map(({ place }) => place.split(' ', 1)[0])));
  assert.deepEqual(
    Object.keys(CODES).filter((code) => !seen.has(code)),
    [],
  );
});

test('objects that have nothing to do with each other change nothing, and neither does their order', () => {
  const far = parse(
    '{ apiVersion: v1, kind: Service, metadata: { name: far, namespace: far }, spec: { ports: [{ port: 80 }] } }',
  ) as JsonObject;
  for (const { name, objects } of CASES.filter(({ isWholeCluster }, index) => index % 7 === 0 && !isWholeCluster)) {
    const before = findingsIn(objects).toSorted();
    assert.deepEqual(findingsIn([far, ...objects]).toSorted(), before, name);
    if (!before.some((text) => text.startsWith('TL0005')))
      assert.deepEqual(findingsIn(objects.toReversed()).toSorted(), before, name);
  }
});

test('objects of whatever form are read to the end', () => {
  const junk: readonly unknown[] = [null, 0, '', 'x', true, [], {}, [null], [{}], { a: null }];
  const replaced = (value: unknown, by: unknown, depth: number): readonly unknown[] => {
    if (depth > 6 || typeof value !== 'object' || value === null) return [by];
    const each = Object.entries(value).flatMap(([name, part]) =>
      replaced(part, by, depth + 1).map((other) =>
        Array.isArray(value) ? value.with(Number(name), other) : { ...value, [name]: other },
      ),
    );
    return [by, ...each];
  };
  let count = 0;
  for (const { objects } of CASES.filter((_, index) => index % 12 === 0)) {
    const last = objects.at(-1) ?? {};
    for (const by of junk) {
      for (const spec of replaced(last['spec'], by, 0)) {
        count += 1;
        findingsIn([...objects.slice(0, -1), { ...last, spec }]);
      }
    }
  }
  assert.ok(count > 1_000, `${count} objects`);
});

test('the table of codes in the README is the one in the source', () => {
  const file = join(import.meta.dirname, 'README.md');
  const text = readFileSync(file, 'utf8');
  const [head = '', tail = ''] = text.split(/<!-- codes -->\n[^]*<!-- end -->\n/);
  const expected = `${head}<!-- codes -->\n\n${codeTable()}\n\n<!-- end -->\n${tail}`;
  if (process.env['UPDATE'] === '1') writeFileSync(file, expected);
  else assert.equal(text, expected, 'UPDATE=1 writes it');
});
