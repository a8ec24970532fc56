import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { TestServer } from './test-server.ts';

test('closing ends connections that are still shaking hands', { timeout: 10_000 }, async () => {
  const server = await TestServer.start();
  const silent = connect(server.port, '127.0.0.1'); // never says hello
  await new Promise((resolve) => silent.once('connect', resolve));
  assert.equal((await server.request('/version')).status, 200); // so the server has accepted the first one too
  const isEnded = new Promise((resolve) => silent.on('error', resolve).once('close', resolve));
  await server[Symbol.asyncDispose]();
  await isEnded;
});
