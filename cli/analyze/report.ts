import { CODES, type Severity } from '../../control-plane/diagnosis/codes.ts';
import type { Diagnosis } from '../../control-plane/diagnosis/diagnosis.ts';
import type { Location } from './given-objects.ts';

export type LocatedDiagnosis = Diagnosis & { readonly location?: Location };

const COLOURS: Readonly<Record<Severity, string>> = { error: '\u001b[31m', warning: '\u001b[33m', note: '\u001b[36m' };
const PLAIN = '\u001b[0m';

/** Findings for people: each with what it means and what to do. */
export function textReport(findings: readonly LocatedDiagnosis[], objects: number, isColoured: boolean): string {
  const lines = findings.map(({ code, severity, kind, group, namespace, name, subject, message, location }) => {
    const type = [kind.toLowerCase(), group].filter((part) => part !== '').join('.');
    const place = location === undefined ? '' : `${location.file}:${location.line}: `;
    const shown = isColoured ? `${COLOURS[severity]}${severity}${PLAIN}` : severity;
    const about = namespace === '' ? name : `${namespace}/${name}`;
    const { meaning, remedy } = CODES[code];
    return `${place}${shown} ${code}: ${type} ${about}: ${subject}: ${message}\n    ${meaning} ${remedy}\n`;
  });
  return `${lines.join('')}${summary(findings, objects)}\n`;
}

function summary(findings: readonly Diagnosis[], objects: number): string {
  const count = (severity: Severity, noun: string): string => {
    const number = findings.filter((one) => one.severity === severity).length;
    return `${number} ${noun}${number === 1 ? '' : 's'}`;
  };
  const looked = `${objects} object${objects === 1 ? '' : 's'}`;
  return findings.length === 0
    ? `${looked}: nothing found`
    : `${looked}: ${count('error', 'error')}, ${count('warning', 'warning')}, ${count('note', 'note')}`;
}

/** Findings for programs. */
export function jsonReport(findings: readonly LocatedDiagnosis[]): readonly object[] {
  return findings.map(({ code, severity, group, kind, namespace, name, subject, message, location }) => ({
    code,
    name: CODES[code].name,
    severity,
    object: { group, kind, namespace, name },
    field: subject,
    message,
    remedy: CODES[code].remedy,
    ...(location && { location }),
  }));
}
