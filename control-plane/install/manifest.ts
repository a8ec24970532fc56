import { stringify } from 'yaml';
import type { Values } from '#config/values.ts';

/** One object of a manifest, as it is written into YAML: plain data only. */
export type Manifest = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
};

/** Labels that every object of the installation carries; `component` is absent on what belongs to no single process. */
export function objectLabels(values: Values, component?: string): Record<string, string> {
  return {
    'linkerd.io/control-plane-ns': values.namespace,
    ...(component === undefined ? {} : { 'linkerd.io/control-plane-component': component }),
  };
}

export function createdBy(values: Values): Record<string, string> {
  return { 'linkerd.io/created-by': `tulle/cli ${values.version}` };
}

/** YAML documents for `kubectl apply -f -`. The same objects give the same bytes. */
export function toYaml(objects: readonly Manifest[]): string {
  return objects.map((object) => `---\n${stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })}`).join('');
}

/** The same as one JSON `List`. */
export function toJson(objects: readonly Manifest[]): string {
  return `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }, null, 2)}\n`;
}
