import type { Field } from './field.ts';
import { quantity } from './field.ts';
import { fieldsOf } from './schema.ts';
import type { Resources, Values } from './values.ts';

/**
 * What is wrong with the values, one sentence for each finding that names the value and the remedy; empty when all is well.
 */
export function validateValues(values: Values): readonly string[] {
  const wrong = fieldsOf().flatMap(([path, field]) => fieldProblems(path, field, at(values, path)));
  return wrong.length > 0
    ? wrong
    : [...portProblems(values), ...resourceProblems(values), ...replicaProblems(values), ...tracingProblems(values)];
}

/** Value at a dotted path. */
export function at(values: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (object, key) =>
        typeof object === 'object' && object !== null && Object.hasOwn(object, key)
          ? (object as Record<string, unknown>)[key]
          : undefined,
      values,
    );
}

/** What is wrong with one value. Only resources may be absent. */
export function fieldProblems(path: string, field: Field, value: unknown): readonly string[] {
  if (value === undefined) return /esources\.\w+$/.test(path) ? [] : [`${path} is missing`];
  if (field.type === 'number') {
    const isRight = Number.isInteger(value) && (value as number) >= field.min && (value as number) <= field.max;
    return isRight ? [] : [`${path} is ${shown(value)}: use a whole number from ${field.min} to ${field.max}`];
  }
  const expected = TYPES[field.type];
  const isType = field.type === 'list' ? Array.isArray(value) : typeof value === expected.type;
  if (!isType) return [`${path} is ${shown(value)}: use ${expected.name}`];
  switch (field.type) {
    case 'switch':
      return [];
    case 'choice':
      return field.choices.includes(value as string)
        ? []
        : [`${path} is ${shown(value)}: use one of ${field.choices.join(', ')}`];
    case 'text': {
      const remedy = field.remedy(value as string);
      return remedy === undefined ? [] : [`${path} is ${shown(value)}: ${remedy}`];
    }
    case 'list':
      return listProblems(path, field.remedy, value as readonly unknown[]);
  }
}

const MAX_ITEMS = 100;

function listProblems(
  path: string,
  remedyOf: (item: string) => string | undefined,
  items: readonly unknown[],
): readonly string[] {
  if (items.length > MAX_ITEMS) return [`${path} has ${items.length} items: use at most ${MAX_ITEMS}`];
  return items.flatMap((item, index) => {
    const remedy = typeof item === 'string' ? remedyOf(item) : 'use text';
    return remedy === undefined ? [] : [`${path}[${index}] is ${shown(item)}: ${remedy}`];
  });
}

const TYPES = {
  text: { type: 'string', name: 'text, in quotes where YAML would see something else' },
  choice: { type: 'string', name: 'text, in quotes where YAML would see something else' },
  switch: { type: 'boolean', name: 'true or false' },
  list: { type: 'object', name: 'a list of texts' },
} as const;

const MAX_SHOWN = 60;

/** A value for a message: never longer than a line, whatever it is. */
export function shown(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  if (typeof value === 'string')
    return JSON.stringify(value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN)}...` : value);
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' && value !== null ? 'a group of keys' : String(value);
}

function portProblems({ proxy }: Values): readonly string[] {
  const names = ['inboundPort', 'outboundPort', 'controlPort', 'adminPort'] as const;
  return names.flatMap((name, index) => {
    const same = names.slice(0, index).find((other) => proxy[other] === proxy[name]);
    return same === undefined
      ? []
      : [`proxy.${name} is ${proxy[name]}: proxy.${same} is the same, use different ports`];
  });
}

function resourceProblems(values: Values): readonly string[] {
  const ofOne = (path: string, resources: Resources): readonly string[] =>
    (['cpu', 'memory'] as const).flatMap((what) => {
      const [request, limit] = [resources[`${what}Request`], resources[`${what}Limit`]];
      return request !== undefined && limit !== undefined && quantity(request) > quantity(limit)
        ? [`${path}.${what}Limit is "${limit}": use at least the request, which is ${request}`]
        : [];
    });
  return [
    ...ofOne('controllerResources', values.controllerResources),
    ...ofOne('proxy.resources', values.proxy.resources),
  ];
}

/** A proxy does not start with a collector that it cannot verify. */
function tracingProblems({ proxy: { tracing } }: Values): readonly string[] {
  if (!tracing.enabled) return [];
  const paths = ['endpoint', 'meshIdentity.serviceAccountName', 'meshIdentity.namespace'];
  return paths
    .filter((path) => at(tracing.collector, path) === '')
    .map((path) => `proxy.tracing.collector.${path} is "": with proxy.tracing.enabled it must be given`);
}

function replicaProblems(values: Values): readonly string[] {
  if (!values.highAvailability || values.controllerReplicas > 1) return [];
  return ['controllerReplicas is 1: use at least 2 with highAvailability, one replica cannot be spread'];
}
