import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { exemption } from '#netlink/exemption.ts';
import { createNetns, inNetns } from '#netlink/namespace.ts';
import { nftablesRemedy } from '#netlink/refusal.ts';
import { redirectTables } from '#netlink/redirect.ts';
import { NetlinkError, Netlink } from '#netlink/socket.ts';
import { describeWithNamespaces } from '#netlink/testing.ts';
import { verifyTables } from '#netlink/verify.ts';
import { parseOptions } from './options.ts';

const PROXY = ['--incoming-proxy-port=4143', '--outgoing-proxy-port=4140', '--proxy-uid=2102'];
const MAIN = join(import.meta.dirname, 'main.ts');

function run(args: readonly string[], prefix: readonly string[] = []): { status: number | null; lines: unknown[] } {
  const [command = '', ...rest] = [...prefix, process.execPath, MAIN, ...args];
  const { status, stdout, stderr } = spawnSync(command, rest, { encoding: 'utf8', timeout: 30_000 });
  assert.equal(stdout, '');
  const lines = stderr
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  return { status, lines };
}

test('ports to ignore have the defaults of Linkerd; the proxy must be named', () => {
  const options = parseOptions(PROXY);
  assert.equal(options.inboundPort, 4143);
  assert.equal(options.outboundPort, 4140);
  assert.deepEqual(
    options.inboundSkip.map(({ first }) => first),
    [4190, 4191, 4567, 4568],
  );
  assert.deepEqual(
    options.outboundSkip.map(({ first }) => first),
    [4567, 4568],
  );
  assert.deepEqual(options.exemption, exemption(2102));
  assert.throws(() => parseOptions([]), {
    message: '--incoming-proxy-port: is missing; --outgoing-proxy-port: is missing; --proxy-uid: is missing',
  });
});

test('all wrong flags are reported at once', () => {
  const args = [
    '--proxy-uid',
    'root',
    '--incoming-proxy-port=0',
    '--outgoing-proxy-port=4140',
    '--outbound-ports-to-ignore',
    '1,x',
    '--subnets-to-ignore=10',
  ];
  assert.throws(() => parseOptions(args), {
    name: 'UsageError',
    message:
      '--incoming-proxy-port: port list "0": 0 is not a port (1 to 65535); ' +
      '--proxy-uid: "root" is not a user id (0 to 4294967294); ' +
      '--outbound-ports-to-ignore: port list "1,x": "x" is neither a port nor a range such as 5000-5010; ' +
      '--subnets-to-ignore: subnet "10": not an address or CIDR such as 10.0.0.0/8',
  });
  assert.throws(() => parseOptions(['--proxy-uid=0']), /the proxy cannot run as user 0/);
  assert.throws(() => parseOptions([...PROXY, '--incoming-proxy-port=4140']), /are both 4140/);
  assert.throws(() => parseOptions(['--incoming-proxy-port=1-2']), /one port is needed/);
  assert.throws(() => parseOptions(['--firewall']), /Unknown option '--firewall'; flags are --incoming-proxy-port /);
  assert.throws(() => parseOptions(['extra']), /Unexpected argument 'extra'/);
});

test('refusals of the kernel become sentences with a remedy', () => {
  assert.match(nftablesRemedy(new NetlinkError('batch begin: EPERM', 'EPERM')) ?? '', /batch begin: EPERM.*NET_ADMIN/);
  assert.match(nftablesRemedy(new NetlinkError('chain output: ENOENT', 'ENOENT')) ?? '', /modprobe .*nft_redir/);
  assert.equal(nftablesRemedy(new NetlinkError('rule x: EINVAL', 'EINVAL')), undefined);
  assert.equal(nftablesRemedy(new TypeError('x')), undefined);
});

test('an unusable command line ends with one JSON line and exit code 64', () => {
  const { status, lines } = run(['--nonsense']);
  assert.equal(status, 64);
  assert.equal(lines.length, 1);
});

test('without NET_ADMIN the command says what to grant and fails', () => {
  // Without any capability: as an ordinary user that is how this test runs already.
  const drop = process.geteuid?.() === 0 ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--'] : [];
  const { status, lines } = run(PROXY, drop);
  assert.equal(status, 1);
  assert.equal(lines.length, 1);
  assert.match(
    JSON.stringify(lines[0]),
    /not allowed to program nftables \(.*EPERM.*\): give the container the capability NET_ADMIN/,
  );
});

describeWithNamespaces(import.meta.filename, () => {
  const netns = createNetns();
  after(() => closeSync(netns));

  test('the command programs what its flags say, and once more changes nothing', () => {
    const flags = [
      ...PROXY,
      '--inbound-ports-to-ignore',
      '4191,9000-9010',
      '--subnets-to-ignore',
      '10.0.0.0/8,fd00::/8',
    ];
    using netfilter = new Netlink('netfilter', netns);
    for (let round = 0; round < 2; round += 1) {
      const { status, lines } = inNetns(netns, () => run(flags));
      assert.equal(status, 0, JSON.stringify(lines));
      assert.equal(lines.length, 1);
      assert.match(
        JSON.stringify(lines[0]),
        /"level":"info",.*"component":"proxy-init",.*"inboundSkip":"4191,9000-9010",.*"layout":"inet"/,
      );
      assert.deepEqual(verifyTables(netfilter, redirectTables(parseOptions(flags))), []);
    }
  });
});
