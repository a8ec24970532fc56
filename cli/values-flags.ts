import { readFileSync, statSync } from 'node:fs';
import { parseDocument } from 'yaml';
import type { Field } from '#config/field.ts';
import { overlay, setValue, type Overlaid, type OverlayProblem } from '#config/overlay.ts';
import { entryAt } from '#config/schema.ts';
import { validateValues } from '#config/validate.ts';
import { CNI_ENABLED, HIGH_AVAILABILITY, TINY, type Values } from '#config/values.ts';
import { optionalText, textList, UsageError, type Flag, type Flags, type FlagValues } from './command.ts';
import { reasonOf } from './reason.ts';

const MAX_FILE_BYTES = 1024 * 1024;
const MAX_PROBLEMS = 20; // told in one message

/** Flags that stand for one value, and the value's path. */
const PATHS: Readonly<Record<string, string>> = {
  'identity-issuance-lifetime': 'identity.issuanceLifetime',
  'identity-clock-skew-allowance': 'identity.clockSkewAllowance',
  'default-inbound-policy': 'proxy.defaultInboundPolicy',
  'controller-replicas': 'controllerReplicas',
  'controller-log-level': 'controllerLogLevel',
  'proxy-log-level': 'proxy.logLevel',
  'proxy-cpu-request': 'proxy.resources.cpuRequest',
  'proxy-cpu-limit': 'proxy.resources.cpuLimit',
  'proxy-memory-request': 'proxy.resources.memoryRequest',
  'proxy-memory-limit': 'proxy.resources.memoryLimit',
  'skip-inbound-ports': 'proxy.skipInboundPorts',
  'skip-outbound-ports': 'proxy.skipOutboundPorts',
  image: 'image',
  'image-pull-policy': 'imagePullPolicy',
  'cluster-domain': 'clusterDomain',
  'identity-trust-domain': 'identityTrustDomain',
};

/** Flags of every command that makes values: all of them optional, so that what is not given keeps its value. */
export const VALUE_FLAGS: Flags = {
  ha: { type: 'boolean', help: 'three replicas on different nodes, PodDisruptionBudgets, larger requests' },
  tiny: { type: 'boolean', help: 'the control plane as one process in one pod, smaller requests' },
  'linkerd-cni-enabled': {
    type: 'boolean',
    help: 'agents on the nodes redirect pods, for namespaces that enforce Pod Security baseline or restricted',
  },
  values: {
    type: 'string',
    short: 'f',
    value: 'FILE',
    isRepeated: true,
    help: 'values from a YAML file; later files win (`tulle config --schema` shows all values)',
  },
  set: {
    type: 'string',
    value: 'PATH=VALUE',
    isRepeated: true,
    help: 'set one value, as in proxy.logLevel=debug; wins over files and other flags',
  },
  ...Object.fromEntries(Object.entries(PATHS).map(([name, path]) => [name, flagOf(path)])),
};

function flagOf(path: string): Flag {
  const field = fieldAt(path);
  const [first = '', ...rest] = field.help.replace(/\.$/, '');
  return {
    type: 'string',
    value: field.type === 'number' ? 'N' : 'VALUE',
    help: `${first.toLowerCase() === first || /^[A-Z]{2}/.test(field.help) ? first : first.toLowerCase()}${rest.join('')}`,
    ...(field.type === 'choice' ? { choices: field.choices } : {}),
  };
}

function fieldAt(path: string): Field {
  const entry = entryAt(path);
  if (entry === undefined || 'group' in entry) throw new Error(`${path} is no field of the schema`);
  return entry;
}

/** Whether any flag says something about values. */
export function hasValueFlags(flags: FlagValues): boolean {
  return Object.keys(VALUE_FLAGS).some((name) => flags[name] !== undefined);
}

/**
 * The values that the flags make of others: `--ha` or `--tiny`, then each `-f` in order, then single flags, then `--set`.
 *
 * @throws UsageError  with every problem, each naming file or flag, the value and what would be right
 */
export function valuesFromFlags(base: Values, flags: FlagValues): Values {
  if (flags['ha'] === true && flags['tiny'] === true)
    throw new UsageError('--ha and --tiny exclude each other: many replicas, or one small process');
  const problems: string[] = [];
  // The trust domain is that of the cluster until somebody chooses one.
  const isFollowing = base.identityTrustDomain === base.clusterDomain;
  let values = isFollowing ? { ...base, identityTrustDomain: '' } : base;
  const take = (overlaid: Overlaid, tell: (problem: OverlayProblem) => string): void => {
    values = overlaid.values;
    problems.push(...overlaid.problems.map(tell));
  };
  if (flags['ha'] === true) values = overlay(values, HIGH_AVAILABILITY).values;
  if (flags['tiny'] === true) values = overlay(values, TINY).values;
  if (flags['linkerd-cni-enabled'] === true) values = overlay(values, CNI_ENABLED).values;
  for (const file of textList(flags, 'values'))
    take(overlay(values, readValuesFile(file)), ({ message }) => `${file}: ${message}`);
  for (const [name, path] of Object.entries(PATHS)) {
    const text = optionalText(flags, name);
    if (text !== undefined) take(setValue(values, `${path}=${text}`), ({ message }) => inFlags(message));
  }
  for (const assignment of textList(flags, 'set'))
    take(setValue(values, assignment), ({ message }) => `--set: ${message}`);
  if (values.identityTrustDomain === '') values = { ...values, identityTrustDomain: values.clusterDomain };
  if (problems.length === 0) problems.push(...validateValues(values).map(inFlags));
  if (problems.length > 0) throw new UsageError(joined(problems));
  return values;
}

/** @throws UsageError  naming the file, and the line where it is not YAML */
function readValuesFile(file: string): unknown {
  let text: string;
  try {
    if (statSync(file).size > MAX_FILE_BYTES) throw new Error(`it is larger than ${MAX_FILE_BYTES} bytes`);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new UsageError(`--values ${file}: ${isMissing ? 'there is no such file' : reasonOf(error)}`);
  }
  try {
    return parseValues(text);
  } catch (error) {
    throw new UsageError(`--values ${file}: ${reasonOf(error)}`);
  }
}

/** @throws Error  saying where the text is not YAML */
export function parseValues(text: string): unknown {
  const document = parseDocument(text, { maxAliasCount: 100 } as object);
  const [error] = document.errors;
  if (error !== undefined) throw new Error(error.message.split('\n', 1)[0]);
  return document.toJS({ maxAliasCount: 100 }) as unknown;
}

function joined(problems: readonly string[]): string {
  const more = problems.length - MAX_PROBLEMS;
  return `${problems.slice(0, MAX_PROBLEMS).join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

/** A problem of the values in the words of the command line, where the value has a flag. */
export function inFlags(problem: string): string {
  return problem.replace(/^[\w.]+/, (path) => {
    const flag = Object.entries(PATHS).find(([, flagPath]) => flagPath === path)?.[0];
    return flag === undefined ? path : `--${flag}`;
  });
}
