import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EnvironmentError, EnvironmentReader } from './environment.ts';

test('settings have defaults, and an empty one counts as absent', () => {
  const env = new EnvironmentReader({ PORT: '8080', LIFETIME: '60s', LOG: 'debug', EMPTY: ' ', ON: 'true' });
  assert.equal(env.port('PORT', 1), 8080);
  assert.equal(env.port('OTHER', 1), 1);
  assert.equal(env.durationMs('LIFETIME', '24h', 1000), 60_000);
  assert.equal(env.logLevel('LOG'), 'debug');
  assert.equal(env.text('EMPTY', 'x'), 'x');
  assert.equal(env.boolean('ON', false), true);
  env.check();
});

test('everything that is wrong is reported at once, with the remedy', () => {
  const env = new EnvironmentReader({ PORT: '80800', LIFETIME: 'soon', SHORT: '1ms', LOG: 'loud', NET: 'x' });
  env.port('PORT', 1);
  env.durationMs('LIFETIME', '1s', 0);
  env.durationMs('SHORT', '1s', 10);
  env.logLevel('LOG');
  env.parsed('NET', '', () => undefined, 'use a network');
  assert.throws(
    () => env.check(),
    (error: unknown) => {
      assert.ok(error instanceof EnvironmentError);
      for (const key of ['PORT is "80800"', 'LIFETIME: "soon"', 'SHORT is "1ms"', 'LOG is "loud"', 'NET is "x"']) {
        assert.ok(error.message.includes(key), key);
      }
      return true;
    },
  );
});
