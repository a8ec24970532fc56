import { relative, resolve, sep } from 'node:path';
import { VERSION } from '#config/version.ts';
import { CODES } from '../../control-plane/diagnosis/codes.ts';
import type { LocatedDiagnosis } from './report.ts';

/**
 * Findings for the viewers of code hosts. Source: OASIS SARIF 2.1.0.
 *
 * @param folder  the checkout, absolute: files below it are named relative to it, as these viewers need
 */
export function sarif(findings: readonly LocatedDiagnosis[], folder: string): object {
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
                  artifactLocation: { uri: uriOf(location.file, folder) },
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

/** Source: RFC 3986; SARIF 2.1.0, 3.4.3: a relative reference that nothing says the base of is the viewer's to resolve. */
function uriOf(file: string, folder: string): string {
  const path = resolve(folder, file);
  const below = relative(folder, path);
  const isBelow = below !== '..' && !below.startsWith(`..${sep}`);
  return `${isBelow ? '' : 'file://'}${(isBelow ? below : path).split(sep).map(encodeURIComponent).join('/')}`;
}
