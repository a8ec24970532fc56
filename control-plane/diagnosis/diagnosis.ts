import type { Metadata } from '#k8s/resources/metadata.ts';
import { CODES, type Code, type Severity } from './codes.ts';
import type { Finding } from './finding.ts';

/** A finding with its code. `subject` is the path of a field. */
export type Diagnosis = Finding & { readonly code: Code; readonly severity: Severity };

export type Subject = Pick<Metadata, 'namespace' | 'name'> & { readonly group: string; readonly kind: string };

export function diagnose(code: Code, about: Subject, field: string, message: string): Diagnosis {
  const { group, kind, namespace, name } = about;
  return { code, severity: CODES[code].severity, group, kind, namespace, name, subject: field, message };
}
