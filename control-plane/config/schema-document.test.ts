import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { overlay } from './overlay.ts';
import { fieldsOf } from './schema.ts';
import { annotatedValues, jsonSchema } from './schema-document.ts';
import { defaultValues } from './values.ts';
import { VERSION } from './version.ts';

const README = join(import.meta.dirname, 'README.md');
const BLOCK = /(?<=```yaml\n)[^]*?(?=```\n)/;
const values = defaultValues(VERSION);

test('the annotated file holds every value and gives the defaults back', () => {
  const text = annotatedValues(values);
  for (const [path, { help }] of fieldsOf()) {
    assert.ok(text.includes(`# ${help}`), path);
    assert.match(text, new RegExp(`^ *(# )?${path.split('.').at(-1)}:`, 'm'));
  }
  assert.deepEqual(overlay(values, parse(text)), { values, problems: [] });
});

test('README.md shows it (UPDATE=1 writes it anew)', () => {
  const readme = readFileSync(README, 'utf8');
  const text = annotatedValues(values);
  if (process.env['UPDATE'] === '1')
    writeFileSync(
      README,
      readme.replace(BLOCK, () => text),
    );
  assert.equal(BLOCK.exec(readFileSync(README, 'utf8'))?.[0], text);
});

test('the JSON Schema refuses unknown keys in every group', () => {
  type Schema = { type?: string; additionalProperties?: boolean; properties?: Record<string, Schema> };
  const groups = (schema: Schema): readonly Schema[] =>
    schema.properties === undefined ? [] : [schema, ...Object.values(schema.properties).flatMap(groups)];
  const found = groups(jsonSchema(values));
  assert.equal(found.length, 11);
  assert.ok(found.every(({ additionalProperties }) => additionalProperties === false));
});
