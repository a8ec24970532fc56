import assert from 'node:assert/strict';
import { test } from 'node:test';
import { negotiate, parseAccept } from './accept.ts';

const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io';

test('kubectl get asks for a table and gets the newest version it names first', () => {
  assert.deepEqual(negotiate(`${TABLE},application/json`), { kind: 'table', version: 'v1' });
});

test('clients that put protobuf first get JSON when they accept it too', () => {
  assert.deepEqual(negotiate('application/vnd.kubernetes.protobuf,application/json'), { kind: 'json' });
  const metadata = 'application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
  assert.deepEqual(negotiate(`${metadata},${metadata.replace('vnd.kubernetes.protobuf', 'json')}`), {
    kind: 'metadata',
    version: 'v1',
  });
});

test('a missing header, wildcards and weights are understood', () => {
  assert.deepEqual(negotiate(undefined), { kind: 'json' });
  assert.deepEqual(negotiate('*/*'), { kind: 'json' });
  assert.deepEqual(negotiate('application/json, */*;q=0.8'), { kind: 'json' });
  assert.deepEqual(
    parseAccept('text/html;q=0.2, application/json;q=0, */*;q=0.5').map(({ type }) => type),
    ['*/*', 'text/html'],
  );
});

test('what cannot be produced is refused with 406', () => {
  for (const accept of ['text/html', 'application/json;as=Table;v=v9;g=meta.k8s.io', 'application/cbor', ';;;,=']) {
    assert.throws(() => negotiate(accept), { code: 406, reason: 'NotAcceptable' }, accept);
  }
});
