import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApiServer, type ApiServer } from '../../sandbox/apiserver/server.ts';
import { KubeClient } from '#k8s/client.ts';
import { findConnection, type Connection } from '#k8s/connection.ts';

/** An API server of the sandbox with what the control plane needs in it. */
export type TestCluster = AsyncDisposable & {
  readonly server: ApiServer;
  readonly connection: Connection;
  readonly client: KubeClient;
  readonly port: number;
  /** A projected token of a service account, which is made when it is not there. */
  readonly token: (namespace: string, name: string, audience?: string) => Promise<string>;
};

export async function startTestCluster(): Promise<TestCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'control-plane-'));
  const server = await startApiServer();
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const kubeconfig = join(folder, 'kubeconfig');
  server.writeKubeconfig(kubeconfig, `https://127.0.0.1:${port}`);
  const connection = await findConnection({ kubeconfig });
  const client = new KubeClient(connection);
  await server.client.create('namespaces', { metadata: { name: 'tulle' } });
  return {
    server,
    connection,
    client,
    port,
    async token(namespace, name, audience = 'identity.l5d.io') {
      if (server.client.get('namespaces', undefined, namespace) === undefined) {
        await server.client.create('namespaces', { metadata: { name: namespace } });
      }
      if (server.client.get('serviceaccounts', namespace, name) === undefined) {
        await server.client.create('serviceaccounts', { metadata: { namespace, name } });
      }
      const spec = { audiences: [audience], expirationSeconds: 3600 };
      return (await server.client.createToken(namespace, name, spec)).token;
    },
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await server.close();
      rmSync(folder, { recursive: true });
    },
  };
}
