import assert from 'node:assert/strict';
import { existsSync, globSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Mesh, namespaceYaml, serviceYaml } from '../harness/mesh.ts';

const CLIENT = 'default.town.serviceaccount.identity.tulle.cluster.local';
/** A client that waits longer for a connection gives up: a stall of protocol detection (10 s) is a failure. */
const CONNECT_TIMEOUT_S = 8;
/** Not root, which PostgreSQL refuses to run as, and known to every /etc/passwd. */
const NOBODY = 65_534;

/** A server that anybody may have, and its own client. */
type Installed = {
  readonly name: string;
  /** The usual port, which is opaque by default, and one that nobody has heard of. */
  readonly ports: readonly [number, number];
  readonly programs: readonly string[]; // patterns of paths; the packages have them
  readonly packages: string; // of Debian
  readonly server: string; // shell script, ends with servers on both ports
  readonly isUp: (port: number) => string; // shell command in the same container
  readonly client: (port: number) => string; // shell command
  readonly answer: string; // that the client prints
};

const SMTP = '/usr/bin/python3';
/** The server says the first word, and one more after each of the client's. */
const SMTP_CLIENT = `
import smtplib, sys
client = smtplib.SMTP("smtp", int(sys.argv[1]), timeout=float(sys.argv[2]))
print(client.ehlo()[0])
for size in (10, 1000000):
    print(client.sendmail("a@town.example", ["b@town.example"], "Subject: hello\\r\\n\\r\\n" + ("x" * 70 + "\\r\\n") * (size // 72 + 1)))
    print(client.noop()[0])
client.mail("a@town.example")
client.rcpt("b@town.example")
print(*client.docmd("DATA")[:1])
print(client.docmd(".")[1][:2])
print(client.quit()[0])
`;

const INSTALLED: readonly Installed[] = [
  {
    name: 'redis',
    ports: [6379, 16_379],
    programs: ['/usr/bin/redis-server', '/usr/bin/redis-cli'],
    packages: 'redis-server redis-tools',
    server: `for port in 6379 16379; do redis-server --port $port --save '' --protected-mode no & done; wait`,
    isUp: (port) => `redis-cli -p ${port} PING`,
    client: (port) =>
      `redis="timeout ${CONNECT_TIMEOUT_S} redis-cli -h redis -p ${port}" && $redis PING && ` +
      `$redis -r 200 INCR visits | tail -n 1 && printf 'a word\\r\\n' | $redis -x SET text && $redis STRLEN text`,
    answer: 'PONG 200 OK 8',
  },
  {
    name: 'postgres',
    ports: [5432, 15_432],
    programs: ['/usr/lib/postgresql/*/bin/initdb', '/usr/bin/psql'],
    packages: 'postgresql postgresql-client',
    // Where only one user is mapped, everything runs as root: then another mapping makes it somebody else.
    server:
      `[ $(id -u) != 0 ] || exec unshare --user --map-user=${NOBODY} --map-group=${NOBODY} sh -c "$0" && ` +
      'PATH=$PATH:$(echo /usr/lib/postgresql/*/bin) && echo secret >/tmp/password && ' +
      'initdb -D /tmp/5432 -U app --pwfile=/tmp/password --auth-host=scram-sha-256 --no-sync --locale=C && ' +
      'echo host all all all scram-sha-256 >>/tmp/5432/pg_hba.conf && cp -a /tmp/5432 /tmp/15432 && ' +
      `for port in 5432 15432; do postgres -D /tmp/$port -p $port -h 0.0.0.0 -k /tmp -c fsync=off & done; wait`,
    isUp: (port) => `psql -h /tmp -p ${port} -U app -c 'select 1' postgres`,
    client: (port) =>
      `psql -qtA "host=postgres port=${port} user=app password=secret dbname=postgres connect_timeout=${CONNECT_TIMEOUT_S}" ` +
      `-c 'create table numbers as select generate_series(1, 20000) as n' -c 'select count(*), sum(n) from numbers' ` +
      `-c "copy numbers to stdout" | tail -n 1 && echo "done"`,
    answer: '20000 done',
  },
  {
    name: 'mariadb',
    ports: [3306, 13_306],
    programs: ['/usr/sbin/mariadbd', '/usr/bin/mariadb-install-db', '/usr/bin/mariadb'],
    packages: 'mariadb-server-core mariadb-client-core',
    server:
      'mariadb-install-db --no-defaults --datadir=/tmp/3306 --user=root --auth-root-authentication-method=normal ' +
      '--skip-test-db >/dev/null && cp -a /tmp/3306 /tmp/13306 && ' +
      `printf "create user app identified by 'secret';\\ngrant all on *.* to app;\\n" >/tmp/users.sql && ` +
      'for port in 3306 13306; do mariadbd --no-defaults --user=root --datadir=/tmp/$port --port=$port ' +
      '--socket=/tmp/$port.sock --init-file=/tmp/users.sql --skip-name-resolve & done; wait',
    isUp: (port) => `mariadb --no-defaults --socket=/tmp/${port}.sock -e 'select 1'`,
    client: (port) =>
      `mariadb --no-defaults -N -h mariadb -P ${port} -u app -psecret --connect-timeout=${CONNECT_TIMEOUT_S} ` +
      `-e 'create database shop; use shop; create table numbers as select seq as n from seq_1_to_20000; ` +
      `select count(*), sum(n) from numbers'`,
    answer: '20000 200010000',
  },
  {
    name: 'smtp',
    ports: [25, 2525],
    programs: ['/usr/bin/python3', '/usr/lib/python3/dist-packages/aiosmtpd/main.py'],
    packages: 'python3-aiosmtpd',
    server:
      'for port in 25 2525; do /usr/bin/python3 -m aiosmtpd -n -l 0.0.0.0:$port ' +
      '-c aiosmtpd.handlers.Mailbox /tmp/mail-$port & done; wait',
    isUp: (port) => `${SMTP} -c 'import sys, smtplib; smtplib.SMTP("127.0.0.1", ${port}, timeout=2).quit()'`,
    client: (port) => `${SMTP} -c '${SMTP_CLIENT}' ${port} ${CONNECT_TIMEOUT_S}`,
    answer: "250 {} 250 {} 250 354 b'OK' 221",
  },
];

/** @returns why the server cannot be tried here */
function missing({ programs, packages }: Installed): string | false {
  const absent = programs.filter((pattern) => !existsSync(pattern) && globSync(pattern).length === 0);
  return absent.length > 0 && `this machine has no ${absent.join(', ')}: apt-get install ${packages}`;
}

/** A Deployment with a shell script and a Service in front of it. */
function scriptYaml({ name, ports, server, isUp }: Installed): string {
  const [service, deployment] = serviceYaml('town', name, { args: [], replicas: 1, ports })
    .split('---\n')
    .filter((document) => document !== '')
    .map(
      (document) => JSON.parse(document) as { spec: { template: { spec: { containers: Record<string, unknown>[] } } } },
    );
  const container = deployment?.spec.template.spec.containers[0];
  Object.assign(container ?? {}, {
    image: 'debian:12',
    command: ['sh', '-c', server, server],
    args: undefined,
    // The proxy takes every connection, so a probe of the port would pass before the database is up.
    readinessProbe: {
      exec: { command: ['sh', '-c', ports.map(isUp).join(' && ')] },
      periodSeconds: 1,
      timeoutSeconds: 10,
    },
    securityContext: { runAsUser: name === 'postgres' ? NOBODY : 0 },
  });
  return `${JSON.stringify(service)}\n---\n${JSON.stringify(deployment)}`;
}

/** Runs shell commands in a meshed pod. @returns what they printed */
async function runScript(mesh: Mesh, name: string, script: string): Promise<string> {
  const container = { name: 'app', image: 'debian:12', command: ['sh', '-c', script] };
  await mesh.apply(
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'town' },
      spec: { restartPolicy: 'Never', containers: [container] },
    }),
  );
  return mesh.endOf('town', name);
}

/** The values of a line of JSON for each step. */
function steps(output: string): Record<string, unknown> {
  return Object.assign(
    {},
    ...output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object),
  ) as Record<string, unknown>;
}

describe('protocols of real applications, without an annotation', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install();
    await mesh.apply(namespaceYaml('town', true));
    await mesh.apply(serviceYaml('town', 'grpc', { args: ['grpc-server', '50051'], replicas: 1, ports: [50_051] }));
    await mesh.apply(serviceYaml('town', 'sockets', { args: ['socket-server', '8080'], replicas: 1, ports: [8080] }));
    for (const one of INSTALLED) if (missing(one) === false) await mesh.apply(scriptYaml(one));
    await mesh.ready('town');
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  /** Metrics of a Deployment's proxy whose lines match. */
  const metrics = (deployment: string, pattern: RegExp): readonly string[] => {
    const { stdout } = mesh.tulle(['diagnostics', 'proxy-metrics', '-n', 'town', `deploy/${deployment}`]);
    return stdout.split('\n').filter((line) => pattern.test(line));
  };

  test('gRPC: every kind of call, metadata, errors, deadlines, and 100 streams at once', async () => {
    const output = await mesh.runToEnd('town', 'grpc-client', ['grpc-client', 'grpc.town:50051'], true);
    assert.deepEqual(steps(output), {
      health: 1,
      reflection: {
        services: ['shop.Echo', 'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection'],
        methods: ['Unary', 'Count', 'Collect', 'Chat'],
      },
      unary: { answer: 'hello', head: 'token secret', binary: '0001feff', trailer: 'after the messages' },
      who: CLIENT,
      count: { messages: 1000, last: '999', trailer: 'after the messages' },
      collect: '50 messages, 50000 bytes',
      chats: { streams: 100, right: 100 },
      big: { equal: true },
      fail: { code: 9, details: 'as asked: 100 % µ', trailer: 'after the messages' },
      'unknown method': 12,
      deadline: 4,
      cancel: 1,
      'cancelled at the server': '2',
    });
    const failed = metrics('grpc', /^response_total\{direction="inbound".*grpc_status="9".*\} 1$/);
    assert.equal(failed.length, 1);
    assert.ok(
      failed[0]?.includes(`tls="true",client_id="${CLIENT}"`),
      `the call came without mutual TLS: ${failed[0]}`,
    );
  });

  test("WebSocket: 1,000 messages, text and binary, and the codes of either side's close", async () => {
    const output = await mesh.runToEnd(
      'town',
      'socket-client',
      ['socket-client', 'ws://sockets.town:8080/', '1000'],
      true,
    );
    assert.deepEqual(JSON.parse(output), {
      exchanged: { greeting: `for ${CLIENT}`, protocol: 'first', equal: 1000, close: '4001 client is done' },
      closes: ['1000 as asked', '4999 as asked'],
    });
    const [pod] = await mesh.pods('town', 'app=sockets');
    assert.match(await mesh.logs('town', pod?.metadata.name ?? '', 'app'), /^closed 4001 client is done$/m);
  });

  for (const installed of INSTALLED) {
    const { name, ports, client, answer } = installed;
    test(`${name}: its own client, on the usual port and on another`, { skip: missing(installed) }, async () => {
      const outputs = await Promise.all(ports.map((port) => runScript(mesh, `${name}-client-${port}`, client(port))));
      const opened = metrics(name, /^tcp_open_total\{direction="inbound"/);
      for (const [index, port] of ports.entries()) {
        assert.equal(outputs[index]?.split(/\s+/).join(' ').trim(), answer, `${name} on ${port}`);
        const peer = `target_port="${port}",peer="src",tls="true",client_id="${CLIENT}"`;
        assert.ok(
          opened.some((line) => line.includes(peer)),
          `no connection over mutual TLS to ${port}:\n${opened.join('\n')}`,
        );
      }
    });
  }
});
