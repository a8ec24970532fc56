import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { difference, overlay, setValue } from './overlay.ts';
import { entryAt, fieldsOf } from './schema.ts';
import { at, validateValues } from './validate.ts';
import { defaultValues, HIGH_AVAILABILITY, TINY, type Values } from './values.ts';

const values = defaultValues('1.2.3');
const messages = (input: unknown): readonly string[] => overlay(values, input).problems.map(({ message }) => message);

describe('values from a file', () => {
  test('replace what they name and leave the rest', () => {
    const { values: result, problems } = overlay(values, {
      controllerReplicas: 2,
      clusterNetworks: ['10.0.0.0/8'],
      proxy: { logLevel: 'debug', resources: { cpuLimit: '1', cpuRequest: '' } },
    });
    assert.deepEqual(problems, []);
    assert.deepEqual(result, {
      ...values,
      controllerReplicas: 2,
      clusterNetworks: ['10.0.0.0/8'],
      proxy: { ...values.proxy, logLevel: 'debug', resources: { memoryRequest: '64Mi', cpuLimit: '1' } },
    });
  });

  test('an empty file changes nothing', () => {
    for (const nothing of [undefined, null, {}]) assert.deepEqual(overlay(values, nothing), { values, problems: [] });
  });

  test('each problem names the key, what it is and what would be right', () => {
    for (const [input, message] of [
      [{ controlerReplicas: 3 }, 'controlerReplicas is no known value: did you mean controllerReplicas?'],
      [{ logLevel: 'info' }, 'logLevel is no known value: did you mean proxy.logLevel?'],
      [{ proxy: { loglevel: 'info' } }, 'proxy.loglevel is no known value: did you mean proxy.logLevel?'],
      [{ prxy: {} }, 'prxy is no known value: did you mean proxy?'],
      [{ proxy: { resources: { cpu: '1' } } }, /^proxy\.resources\.cpu is no known value/],
      [{ whatever: 1 }, 'whatever is no known value (`tulle config --schema` lists them)'],
      [JSON.parse('{"__proto__": 1}'), /^__proto__ is no known value/],
      [{ constructor: 1 }, /^constructor is no known value/],
      [{ ['x'.repeat(100_000)]: 1 }, /^x{64}\.\.\. is no known value/],
      [{ proxy: 'debug' }, 'proxy is "debug": write keys and values, such as proxy.uid'],
      [{ proxy: null }, 'proxy is null: write keys and values, such as proxy.uid'],
      [[1], 'the document is a list: write keys and values, such as version'],
      ['text', /^the document is "text"/],
      [{ image: null }, 'image has no value: leave the key out for the default'],
      [{ image: 5 }, 'image is 5: use text, in quotes where YAML would see something else'],
      [{ image: ['a'] }, /^image is a list: use text/],
      [{ image: {} }, /^image is a group of keys: use text/],
      [{ highAvailability: 'yes' }, 'highAvailability is "yes": use true or false'],
      [{ controllerReplicas: '3' }, 'controllerReplicas is "3": use a whole number from 1 to 9'],
      [{ controllerReplicas: 10 }, 'controllerReplicas is 10: use a whole number from 1 to 9'],
      [{ controllerUid: 0 }, /^controllerUid is 0: use a whole number from 1 /],
      [{ clusterNetworks: '10.0.0.0/8' }, 'clusterNetworks is "10.0.0.0/8": use a list of texts'],
      [{ clusterNetworks: ['10.0.0.0/8', '10.0.0.300/8'] }, /^clusterNetworks\[1\] is "10.0.0.300\/8": use networks/],
      [{ clusterNetworks: [7] }, 'clusterNetworks[0] is 7: use text'],
      [{ clusterNetworks: Array(101).fill('10.0.0.0/8') }, 'clusterNetworks has 101 items: use at most 100'],
      [{ namespace: 'Tulle' }, /^namespace is "Tulle": use a name of a-z/],
      [{ version: 'a b' }, /^version is "a b": use the tag/],
      [{ imagePullPolicy: 'Sometimes' }, /^imagePullPolicy is "Sometimes": use one of Always, IfNotPresent, Never$/],
      [{ webhookFailurePolicy: 'Maybe' }, /: use one of Ignore, Fail$/],
      [{ proxy: { inboundPort: 70_000 } }, 'proxy.inboundPort is 70000: use a whole number from 1 to 65535'],
      [{ proxy: { skipInboundPorts: '25,9-3' } }, /^proxy.skipInboundPorts is "25,9-3": use ports and ranges/],
      [{ proxy: { resources: { cpuLimit: 'lots' } } }, /^proxy.resources.cpuLimit is "lots": use a quantity/],
    ] as const) {
      const [found = '', ...more] = messages(input);
      if (typeof message === 'string') assert.equal(found, message);
      else assert.match(found, message);
      assert.deepEqual(more, []);
    }
  });

  test('what is only wrong together is found after that', () => {
    const of = (input: unknown): readonly string[] => validateValues(overlay(values, input).values);
    assert.deepEqual(of({ proxy: { adminPort: 4143 } }), [
      'proxy.adminPort is 4143: proxy.inboundPort is the same, use different ports',
    ]);
    assert.deepEqual(of({ proxy: { resources: { memoryRequest: '1Gi', memoryLimit: '512Mi' } } }), [
      'proxy.resources.memoryLimit is "512Mi": use at least the request, which is 1Gi',
    ]);
    assert.deepEqual(of({ proxy: { resources: { cpuRequest: '0.5', cpuLimit: '500m' } } }), []);
    assert.match(of({ highAvailability: true })[0] ?? '', /^controllerReplicas is 1: use at least 2/);
  });

  test('--ha and --tiny are valid', () => {
    for (const preset of [HIGH_AVAILABILITY, TINY]) {
      const { values: result, problems } = overlay(values, preset);
      assert.deepEqual([problems, validateValues(result)], [[], []]);
    }
  });
});

describe('--set', () => {
  test('reads text as the type of the value', () => {
    for (const [assignment, path, value] of [
      ['controllerReplicas=2', 'controllerReplicas', 2],
      ['highAvailability=true', 'highAvailability', true],
      ['singleProcess=false', 'singleProcess', false],
      ['clusterNetworks=10.0.0.0/8, fd00::/8', 'clusterNetworks', ['10.0.0.0/8', 'fd00::/8']],
      ['clusterNetworks=', 'clusterNetworks', []],
      ['proxy.skipInboundPorts=25,3000-3010', 'proxy.skipInboundPorts', '25,3000-3010'],
      ['proxy.opaquePorts=', 'proxy.opaquePorts', ''],
      ['proxy.resources.cpuRequest=', 'proxy.resources.cpuRequest', undefined],
      ['proxy.logLevel=warn,linkerd=debug', 'proxy.logLevel', 'warn,linkerd=debug'],
    ] as const) {
      const { values: result, problems } = setValue(values, assignment);
      assert.deepEqual([problems, at(result, path)], [[], value], assignment);
    }
  });

  test('says what is wrong', () => {
    for (const [assignment, message] of [
      ['image', '"image" is not an assignment: write PATH=VALUE'],
      ['=x', '"=x" is not an assignment: write PATH=VALUE'],
      ['proxy=1', 'proxy is a group of values: name one of them, such as proxy.uid'],
      ['proxy.uid.x=1', /^proxy.uid.x is no known value/],
      ['toString=1', /^toString is no known value/],
      ['controllerReplicas=many', 'controllerReplicas is "many": use a whole number from 1 to 9'],
      ['controllerReplicas=1e0', /^controllerReplicas is "1e0"/],
      ['highAvailability=1', 'highAvailability is "1": use true or false'],
      ['image=', /^image is "": use a name without tag/],
    ] as const) {
      const [found, ...more] = setValue(values, assignment).problems;
      if (typeof message === 'string') assert.equal(found?.message, message);
      else assert.match(found?.message ?? '', message);
      assert.deepEqual(more, []);
    }
  });
});

describe('what is not the default', () => {
  test('is a file that gives the same values again', () => {
    const changes: readonly unknown[] = [
      {},
      HIGH_AVAILABILITY,
      TINY,
      { proxy: { resources: { cpuRequest: '' }, opaquePorts: '' }, clusterNetworks: [] },
    ];
    for (const change of changes) {
      const changed = overlay(values, change).values;
      assert.deepEqual(overlay(values, difference(values, changed)), { values: changed, problems: [] });
    }
    assert.deepEqual(difference(values, { ...values, version: '9' }), {});
  });
});

test('the schema has every value of the defaults, and its own paths', () => {
  const leaves = (object: object, prefix = ''): readonly string[] =>
    Object.entries(object).flatMap(([key, value]) =>
      typeof value === 'object' && !Array.isArray(value)
        ? leaves(value as object, `${prefix}${key}.`)
        : [`${prefix}${key}`],
    );
  const paths = new Set(fieldsOf().map(([path]) => path));
  assert.deepEqual(
    leaves(values).filter((path) => !paths.has(path)),
    [],
  );
  for (const [path, field] of fieldsOf()) {
    assert.equal(entryAt(path), field);
    assert.match(field.help, /^[A-Z].*\.$/, path);
  }
  assert.equal(entryAt('proxy.nothing.at.all'), undefined);
});

/** `TULLE_FUZZ=1000000 npm test -- config/overlay` for the full number. */
const ROUNDS = Number(process.env['TULLE_FUZZ'] ?? '2000');

test('mutated files are valid values or have a clear error', () => {
  let state = 0x2545f491;
  const random = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const pick = <T>(choices: readonly T[]): T => choices[random(choices.length)] as T;
  const paths = fieldsOf().map(([path]) => path);
  const junk = (): unknown =>
    pick<unknown>([
      null,
      true,
      -1,
      0,
      1.5,
      2 ** 40,
      NaN,
      '',
      ' ',
      'info',
      '10m',
      '1Gi',
      '24h',
      '\u0000\uffff',
      'x'.repeat(random(3000)),
      [],
      ['10.0.0.0/8', random(3)],
      {},
      { proxy: {} },
      JSON.parse('{"__proto__": {"a": 1}}'),
      String(random(100_000)),
      random(70_000),
    ]);
  const mutate = (input: unknown): unknown => {
    if (typeof input !== 'object' || input === null || random(8) === 0) return junk();
    const object = { ...input } as Record<string, unknown>;
    const key = random(6) === 0 ? pick([...paths, '__proto__', 'toString', '', 'a.b']) : pick(Object.keys(object));
    if (random(4) === 0) delete object[key];
    else if (typeof object[key] === 'object' && random(3) > 0) object[key] = mutate(object[key]);
    else Object.defineProperty(object, key, { value: junk(), enumerable: true, configurable: true, writable: true });
    return object;
  };
  let [valid, refused] = [0, 0];
  for (let round = 0; round < ROUNDS; round += 1) {
    let input: unknown = values;
    for (let times = 1 + random(4); times > 0; times -= 1) input = mutate(input);
    const { values: result, problems } = overlay(values, input);
    const found = [...problems.map(({ message }) => message), ...validateValues(result)];
    for (const message of found) {
      assert.match(message, /^[^:]+(: \S| is no known value| has no value)|is missing$/s, message);
      assert.ok(message.length < 400, message);
    }
    const [path, text] = [pick(paths), String(junk())];
    const set: { values: Values; problems: readonly unknown[] } = setValue(values, `${path}=${text}`);
    assert.ok(set.problems.length > 0 || typeof validateValues(set.values) === 'object');
    if (found.length === 0) valid += 1;
    else refused += 1;
    if (found.length === 0)
      assert.deepEqual(overlay(values, difference(values, result)).values, { ...result, version: values.version });
  }
  assert.ok(valid > ROUNDS / 100 && refused > ROUNDS / 10, `${valid} valid, ${refused} refused`);
});
