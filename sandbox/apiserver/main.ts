// The API server alone, for trying it with kubectl: no controllers, no node. `main.ts [DIRECTORY]` writes DIRECTORY/kubeconfig.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '#runtime/log.ts';
import { onShutdown } from '#runtime/shutdown.ts';
import { startApiServer } from './server.ts';

async function main(): Promise<void> {
  const log = createLogger('apiserver');
  const directory = process.argv[2] ?? mkdtempSync(join(tmpdir(), 'tulle-apiserver-'));
  const server = await startApiServer({ log });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  await server.publish('127.0.0.1', port);
  const kubeconfig = join(directory, 'kubeconfig');
  server.writeKubeconfig(kubeconfig, `https://127.0.0.1:${port}`);
  process.stdout.write(`export KUBECONFIG=${kubeconfig}\n`);
  onShutdown(log, 5000, () => server.close());
}

void main();
