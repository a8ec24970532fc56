import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSupported, minorsBehind } from './version-skew.ts';

test('proxies of the last two minor versions are supported', () => {
  for (const [version, reference, behind, supported] of [
    ['1.4.0', '1.4.9', 0, true],
    ['1.4.9', '1.4.0', 0, true],
    ['1.2.0', '1.4.0', 2, true],
    ['1.1.7', '1.4.0', 3, false],
    ['1.5.0', '1.4.0', -1, false],
    ['0.9.0', '1.4.0', undefined, false],
    ['1.3.0-rc1', 'v1.4.0', 1, true],
    ['main', '1.4.0', undefined, false],
    ['main', 'main', undefined, true],
    ['', '1.4.0', undefined, false],
  ] as const) {
    assert.equal(minorsBehind(version, reference), behind, version);
    assert.equal(isSupported(version, reference), supported, version);
  }
});
