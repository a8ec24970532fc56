import type { Metadata } from '#k8s/resources/metadata.ts';
import { CODES, type Code, type Severity } from './codes.ts';
import { formatFinding, type Finding } from './finding.ts';

/** A finding with its code. `subject` is the path of a field. */
export type Diagnosis = Finding & { readonly code: Code; readonly severity: Severity };

export type Subject = Pick<Metadata, 'namespace' | 'name'> & { readonly group: string; readonly kind: string };

export function diagnose(code: Code, about: Subject, field: string, message: string): Diagnosis {
  const { group, kind, namespace, name } = about;
  return { code, severity: CODES[code].severity, group, kind, namespace, name, subject: field, message };
}

/** `TL0102 httproute.policy.linkerd.io shop/web: spec.parentRefs[0]: …`. */
export function formatDiagnosis(diagnosis: Diagnosis): string {
  return `${diagnosis.code} ${formatFinding(diagnosis)}`;
}

const ORDER: Readonly<Record<Severity, number>> = { error: 0, warning: 1, note: 2 };

/** The gravest first, then by object and field. */
export function gravestFirst(found: readonly Diagnosis[]): readonly Diagnosis[] {
  return found.toSorted((a, b) => ORDER[a.severity] - ORDER[b.severity] || compare(placeOf(a), placeOf(b)));
}

function placeOf({ namespace, kind, name, subject, code }: Diagnosis): string {
  return [namespace, kind, name, subject, code].join('\0');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
