import { stringify } from 'yaml';
import type { Field } from './field.ts';
import { SCHEMA, type Group } from './schema.ts';
import { at } from './validate.ts';
import type { Values } from './values.ts';

/** Every value with its meaning and its default, as a file that `-f` reads. */
export function annotatedValues(defaults: Values): string {
  return groupLines(SCHEMA, defaults, '', '').join('\n') + '\n';
}

function groupLines(group: Group, defaults: Values, prefix: string, indent: string): readonly string[] {
  return Object.entries(group).flatMap(([key, entry]) => {
    const path = `${prefix}${key}`;
    if ('group' in entry)
      return [
        `${indent}# ${entry.help}`,
        `${indent}${key}:`,
        ...groupLines(entry.group, defaults, `${path}.`, `${indent}  `),
      ];
    const value = at(defaults, path);
    const written = stringify({ [key]: value ?? '' }, { lineWidth: 0 }).trimEnd();
    return [
      `${indent}# ${entry.help}${limits(entry)}`,
      ...written.split('\n').map((line) => `${indent}${value === undefined ? '# ' : ''}${line}`),
    ];
  });
}

function limits(field: Field): string {
  if (field.type === 'choice') return ` One of ${field.choices.join(', ')}.`;
  return field.type === 'number' ? ` From ${field.min} to ${field.max}.` : '';
}

/** The same for editors: a JSON Schema. It knows types, choices and ranges; `tulle` itself checks the rest too. */
export function jsonSchema(defaults: Values): object {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Values of a Tulle installation',
    ...groupSchema(SCHEMA, defaults, ''),
  };
}

function groupSchema(group: Group, defaults: Values, prefix: string): object {
  return {
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(
      Object.entries(group).map(([key, entry]) => [
        key,
        'group' in entry
          ? { description: entry.help, ...groupSchema(entry.group, defaults, `${prefix}${key}.`) }
          : { description: entry.help, ...typeSchema(entry), default: at(defaults, `${prefix}${key}`) },
      ]),
    ),
  };
}

function typeSchema(field: Field): object {
  switch (field.type) {
    case 'text':
      return { type: 'string' };
    case 'choice':
      return { enum: field.choices };
    case 'number':
      return { type: 'integer', minimum: field.min, maximum: field.max };
    case 'switch':
      return { type: 'boolean' };
    case 'list':
      return { type: 'array', items: { type: 'string' } };
  }
}
