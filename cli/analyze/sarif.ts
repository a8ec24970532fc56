import { VERSION } from '#config/version.ts';
import { CODES } from '../../control-plane/diagnosis/codes.ts';
import type { LocatedDiagnosis } from './report.ts';

/** Findings for the viewers of code hosts. Source: OASIS SARIF 2.1.0. */
export function sarif(findings: readonly LocatedDiagnosis[]): object {
  const codes = Object.entries(CODES);
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'tulle',
            version: VERSION,
            semanticVersion: VERSION,
            rules: codes.map(([id, { name, severity, meaning, remedy }]) => ({
              id,
              name,
              shortDescription: { text: meaning },
              help: { text: remedy },
              defaultConfiguration: { level: severity },
            })),
          },
        },
        columnKind: 'utf16CodeUnits',
        results: findings.map(({ code, severity, kind, group, namespace, name, subject, message, location }) => ({
          ruleId: code,
          ruleIndex: codes.findIndex(([id]) => id === code),
          level: severity,
          message: { text: `${kind} ${namespace === '' ? name : `${namespace}/${name}`}: ${subject}: ${message}` },
          locations: [
            {
              ...(location && {
                physicalLocation: {
                  artifactLocation: { uri: uriOf(location.file) },
                  region: { startLine: location.line },
                },
              }),
              logicalLocations: [
                {
                  fullyQualifiedName: [group, kind, namespace, name, subject].filter((part) => part !== '').join('/'),
                  kind: 'object',
                },
              ],
            },
          ],
        })),
      },
    ],
  };
}

/** Relative paths stay so: viewers resolve them in the checkout. Source: RFC 3986. */
function uriOf(file: string): string {
  const path = file.split('/').map(encodeURIComponent).join('/');
  return file.startsWith('/') ? `file://${path}` : path;
}
