import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { exemption } from '#netlink/exemption.ts';
import { inNetns } from '#netlink/namespace.ts';
import { connectedHosts, describeWithNamespaces, type TestHost } from '#netlink/testing.ts';
import { CONTROL_IDENTITY } from './testing/control-plane.ts';
import { identityOf } from './testing/mesh.ts';

const POD_PROCESS = join(import.meta.dirname, 'testing', 'pod-process.ts');
const PROXY_UID = 2102;

/** Processes of one test. */
class Processes implements Disposable {
  readonly #children: ChildProcess[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'redirect-test-'));

  constructor() {
    chmodSync(this.#folder, 0o755); // the proxy is another user
    writeFileSync(join(this.#folder, 'token'), 'token', { mode: 0o644 });
  }

  /** @returns the first line that the process prints and `accept` takes */
  start(
    host: TestHost,
    args: readonly string[],
    options: {
      readonly env?: Record<string, string>;
      readonly uid?: number;
      readonly accept?: (line: string) => boolean;
    },
  ): Promise<string> {
    const { env = {}, uid, accept = () => true } = options;
    const child = inNetns(host.netns, () =>
      spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
        env: { ...process.env, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
        ...(uid === undefined ? {} : { uid }),
      }),
    );
    this.#children.push(child);
    return new Promise((resolve, reject) => {
      let output = '';
      const timer = setTimeout(
        () => reject(new Error(`nothing within 15 s from ${args.join(' ')}: ${output}`)),
        15_000,
      );
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on('line', (line) => {
          output += `${line}\n`;
          if (!accept(line)) return;
          clearTimeout(timer);
          resolve(line);
        });
      }
      child.once('exit', (code) => reject(new Error(`${args.join(' ')} ended with ${code}: ${output}`)));
    });
  }

  proxy(
    host: TestHost,
    name: string,
    control: { readonly anchorsPem: string; readonly port: number },
  ): Promise<string> {
    const env: Record<string, string> = {
      ADMIN_LISTEN_ADDR: '[::]:4191',
      INBOUND_LISTEN_ADDR: '[::]:4143',
      OUTBOUND_LISTEN_ADDRS: '127.0.0.1:4140,[::1]:4140',
      DESTINATION_SVC_ADDR: `10.9.9.2:${control.port}`,
      DESTINATION_SVC_NAME: CONTROL_IDENTITY,
      POLICY_SVC_ADDR: `10.9.9.2:${control.port}`,
      POLICY_SVC_NAME: CONTROL_IDENTITY,
      POLICY_WORKLOAD: '{}',
      IDENTITY_SVC_ADDR: `10.9.9.2:${control.port}`,
      IDENTITY_SVC_NAME: CONTROL_IDENTITY,
      IDENTITY_LOCAL_NAME: identityOf(name),
      IDENTITY_TRUST_ANCHORS: control.anchorsPem,
      IDENTITY_TOKEN_FILE: join(this.#folder, 'token'),
      INBOUND_IPS: `${host.ipv4},${host.ipv6}`,
      LOG: 'info',
    };
    const prefixed = Object.fromEntries(Object.entries(env).map(([key, value]) => [`LINKERD2_PROXY_${key}`, value]));
    const uid = exemption(PROXY_UID).kind === 'uid' ? PROXY_UID : undefined;
    const main = join(import.meta.dirname, 'main.ts');
    const accept = (line: string): boolean => line.includes('"certified"');
    return this.start(host, [main], { env: prefixed, accept, ...(uid === undefined ? {} : { uid }) });
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true });
  }
}

function redirect(host: TestHost, args: readonly string[]): void {
  const main = join(import.meta.dirname, 'redirect', 'main.ts');
  const proxy = ['--incoming-proxy-port=4143', '--outgoing-proxy-port=4140', `--proxy-uid=${PROXY_UID}`];
  const command = [main, ...proxy, ...args];
  const run = inNetns(host.netns, () => spawnSync(process.execPath, command, { encoding: 'utf8' }));
  assert.equal(run.status, 0, run.stderr);
}

/** Asks from inside a namespace. */
function ask(host: TestHost, address: string, port: number): unknown {
  const args = ['--disable-warning=ExperimentalWarning', POD_PROCESS, 'ask', address, String(port)];
  const run = inNetns(host.netns, () => spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 15_000 }));
  return JSON.parse(run.stdout || JSON.stringify(run.stderr));
}

describeWithNamespaces(import.meta.filename, () => {
  test('connections redirected by the kernel cross both proxies to where they wanted to go', async () => {
    const [client, server] = connectedHosts();
    using processes = new Processes();
    const control = JSON.parse(
      await processes.start(server, [POD_PROCESS, 'control', server.ipv4, server.ipv4, server.ipv6], {}),
    ) as { anchorsPem: string; port: number };
    await processes.start(server, [POD_PROCESS, 'app', '::'], {});
    redirect(server, ['--inbound-ports-to-ignore', `4190,4191,${control.port}`]);

    await processes.proxy(server, 'web', control);
    // The client's pod has no proxy yet: plain text, let in by default, to the pod's own address.
    const plain = { client: 'undefined', peer: server.ipv4, host: `${server.ipv4}:8080` };
    assert.deepEqual(ask(client, server.ipv4, 8080), { status: 200, text: JSON.stringify(plain) });
    assert.equal(ask(client, server.ipv4, 7000), '\0opaque');

    redirect(client, []);
    await processes.proxy(client, 'client', control);
    const meshed = { client: identityOf('client'), peer: server.ipv4, host: '10.96.0.7:8080' };
    assert.deepEqual(ask(client, '10.96.0.7', 8080), { status: 200, text: JSON.stringify(meshed) });
    assert.equal(ask(client, '10.96.0.7', 7000), '\0opaque');
    // The same over IPv6.
    const over6 = { client: identityOf('client'), peer: server.ipv6, host: '[fd96::7]:8080' };
    assert.deepEqual(ask(client, 'fd96::7', 8080), { status: 200, text: JSON.stringify(over6) });
    assert.equal(ask(client, 'fd96::7', 7000), '\0opaque');
    const unknown6 = { client: 'undefined', peer: server.ipv6, host: `[${server.ipv6}]:8080` };
    assert.deepEqual(ask(client, server.ipv6, 8080), { status: 200, text: JSON.stringify(unknown6) });
    // An address that discovery knows nothing about is forwarded to as it is.
    const unknown = { client: 'undefined', peer: server.ipv4, host: `${server.ipv4}:8080` };
    assert.deepEqual(ask(client, server.ipv4, 8080), { status: 200, text: JSON.stringify(unknown) });
    // Nothing listens there: the proxy of the server side says so.
    assert.deepEqual(ask(client, server.ipv4, 7001), { status: 502, text: '' });
  });
});
