import type { JsonObject, KubeObject } from '../../object.ts';
import { age } from '../human-duration.ts';

export type Cell = string | number | boolean | null;

/** Source: meta.k8s.io/v1 `TableColumnDefinition`. Priority 0 is always shown, 1 only by `kubectl get -o wide`. */
export type Column = {
  readonly name: string;
  readonly type: string; // OpenAPI type, or `date`
  readonly format: string; // `name` marks the primary identifier
  readonly description: string;
  readonly priority: number;
};

/** Source: meta.k8s.io/v1 `TableRowCondition`. */
export type RowCondition = {
  readonly type: 'Completed';
  readonly status: 'True';
  readonly reason: string;
  readonly message: string;
};

/** How objects of one kind become rows of a table. `cells` gives one cell per column. */
export type Printer = {
  readonly columns: readonly Column[];
  cells(object: KubeObject, nowMs: number): readonly Cell[];
  conditions?(object: KubeObject): readonly RowCondition[] | undefined;
};

export type PrintedColumn = Column & { readonly cell: (object: KubeObject, nowMs: number) => Cell };

/** A printer whose cells do not share work. */
export function printer(...printed: readonly PrintedColumn[]): Printer {
  return {
    columns: printed.map(({ name, type, format, description, priority }) => {
      return { name, type, format, description, priority };
    }),
    cells: (object, nowMs) => printed.map((column) => column.cell(object, nowMs)),
  };
}

function column(type: string, name: string, description: string, cell: PrintedColumn['cell']): PrintedColumn {
  return { name, type, format: '', description, priority: 0, cell };
}

export function text(name: string, description: string, cell: PrintedColumn['cell']): PrintedColumn {
  return column('string', name, description, cell);
}

export function integer(name: string, description: string, cell: (object: KubeObject) => number): PrintedColumn {
  return column('integer', name, description, cell);
}

export function boolean(name: string, description: string, cell: (object: KubeObject) => boolean): PrintedColumn {
  return column('boolean', name, description, cell);
}

export function wide(printed: PrintedColumn): PrintedColumn {
  return { ...printed, priority: 1 };
}

const NAME_TEXT =
  'Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically.';
export const AGE_TEXT =
  'CreationTimestamp is a timestamp representing the server time when this object was created. It is represented in RFC3339 form and is in UTC.';

export const nameColumn: PrintedColumn = {
  ...text('Name', NAME_TEXT, (object) => object.metadata.name),
  format: 'name',
};

export const ageColumn: PrintedColumn = text('Age', AGE_TEXT, (object, nowMs) =>
  age(object.metadata.creationTimestamp, nowMs),
);

/** Kinds without a printer of their own, such as roles: when the object was made, as RFC 3339. */
export const createdAtColumn: PrintedColumn = column(
  'date',
  'Created At',
  AGE_TEXT,
  (object) => object.metadata.creationTimestamp,
);

export function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

/** A scalar as the API prints it, the fallback where it is absent or empty. */
export function textOr(value: unknown, fallback: string): string {
  return typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : fallback;
}

export function countKeys(value: JsonObject): number {
  return Object.keys(value).length;
}

/** At most `max` entries, then how many are left out: `a,b,c + 2 more...`. */
export function listWithMore(entries: readonly string[], max: number, empty: string): string {
  if (entries.length === 0) return empty;
  const shown = entries.slice(0, max).join(',');
  return entries.length > max ? `${shown} + ${entries.length - max} more...` : shown;
}
