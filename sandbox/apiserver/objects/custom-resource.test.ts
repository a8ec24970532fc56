import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateCustom } from './custom-resource.ts';
import type { JsonObject } from './json.ts';

const schema: JsonObject = {
  type: 'object',
  'x-kubernetes-validations': [{ rule: 'self.size < 5', message: 'too big' }],
  properties: { size: { type: 'integer', maximum: 10 } },
};

test('rules run on objects of the right shape only', () => {
  assert.deepEqual(validateCustom(schema, { size: 1 }), []);
  assert.deepEqual(
    validateCustom(schema, { size: 7 }).map(({ message }) => message),
    ['Invalid value: "object": too big'],
  );
  assert.deepEqual(
    validateCustom(schema, { size: 11 }).map(({ message }) => message),
    ['Invalid value: 11: size in body should be less than or equal to 10', 'Invalid value: "object": too big'],
  );
  assert.deepEqual(
    validateCustom(schema, { size: 'x' }).map(({ field, message }) => `${field}: ${message}`),
    [
      'size: Invalid value: "string": size in body must be of type integer: "string"',
      '<nil>: Invalid value: "null": some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
    ],
  );
});
