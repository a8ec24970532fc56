import { chmodSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import type { Credentials } from './certificates.ts';

const NAME = 'tulle-sandbox';

/**
 * A kubeconfig for one cluster and one user.
 *
 * @param server       URL of the API server
 * @param caCertificate  PEM
 */
export function kubeconfigOf(server: string, caCertificate: string, client: Credentials): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: NAME, cluster: { server, 'certificate-authority-data': base64(caCertificate) } }],
    users: [
      {
        name: 'admin',
        user: { 'client-certificate-data': base64(client.certificate), 'client-key-data': base64(client.key) },
      },
    ],
    contexts: [{ name: NAME, context: { cluster: NAME, user: 'admin', namespace: 'default' } }],
    'current-context': NAME,
    preferences: {},
  });
}

/** Writes it where only the owner can read it: it holds a private key. */
export function writeKubeconfig(path: string, content: string): void {
  writeFileSync(path, content, { mode: 0o600 });
  chmodSync(path, 0o600); // the mode above counts only for new files
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
