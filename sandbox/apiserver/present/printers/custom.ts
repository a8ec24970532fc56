import type { KubeObject } from '../../object.ts';
import { JsonPathError, parsePath, valuesAt } from '../../objects/jsonpath.ts';
import type { PrinterColumn } from '../../registry.ts';
import { age } from '../human-duration.ts';
import type { Cell, PrintedColumn, Printer } from './printer.ts';
import { AGE_TEXT, nameColumn, printer } from './printer.ts';

const defaultColumns: readonly PrinterColumn[] = [
  { name: 'Age', type: 'date', description: AGE_TEXT, jsonPath: '.metadata.creationTimestamp' },
];

/** Name and the printer columns of a CustomResourceDefinition version; Name and Age where it declares none. */
export function customPrinter(columns: readonly PrinterColumn[]): Printer {
  return printer(nameColumn, ...(columns.length === 0 ? defaultColumns : columns).map(printedColumn));
}

function printedColumn(column: PrinterColumn): PrintedColumn {
  const read = reader(column.jsonPath);
  return {
    name: column.name,
    type: column.type,
    format: column.format ?? '',
    description: column.description || `Custom resource definition column (in JSONPath format): ${column.jsonPath}`,
    priority: column.priority ?? 0,
    cell: (object, nowMs) => customCell(column.type, read(object), nowMs),
  };
}

/** The first value at the path. A path that cannot be read (validation lets none pass) yields empty cells. */
function reader(jsonPath: string): (object: KubeObject) => unknown {
  try {
    const path = parsePath(jsonPath);
    return (object) => valuesAt(path, object)[0];
  } catch (error) {
    if (error instanceof JsonPathError) return () => undefined;
    throw error;
  }
}

/** Source: apiextensions-apiserver tableconvertor.go. A value of the wrong type is an empty cell. */
function customCell(type: string, value: unknown, nowMs: number): Cell {
  if (value === undefined || value === null) return null;
  switch (type) {
    case 'string':
      return typeof value === 'string' ? value : JSON.stringify(value);
    case 'integer':
      return typeof value === 'number' ? Math.trunc(value) : null;
    case 'number':
      return typeof value === 'number' ? value : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    case 'date':
      return typeof value !== 'string' ? null : Number.isNaN(Date.parse(value)) ? '<invalid>' : age(value, nowMs);
    default:
      return null;
  }
}
