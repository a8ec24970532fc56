import { join } from 'node:path';
import type { Logger } from '#runtime/log.ts';
import { startApiServer, type ListenTarget } from './apiserver/server.ts';
import { startControllers } from './controllers/controllers.ts';
import { DNS_IP, NODE_IP } from './network/addresses.ts';
import { startClusterNetwork } from './network/cluster-network.ts';
import { PodNetworks } from './network/pod-network.ts';
import { defaultImages, type Image } from './node/images.ts';
import { startNode } from './node/node.ts';

export type ClusterOptions = {
  readonly stateDirectory: string;
  readonly checkout: string; // folder of the repository, with the bundles in `dist`
  readonly publicListener: ListenTarget; // where the machine reaches the API server
  readonly log: Logger;
};

const API_PORT = 6443;
/** Addresses that the machine may use for the API server. */
const PUBLIC_HOST = '127.0.0.1';

/** A whole cluster in this process, which must be inside namespaces of its own. */
export type RunningCluster = { readonly kubeconfig: string; readonly close: () => Promise<void> };

/** Puts API server, controllers, network, DNS and node together. */
export async function startCluster(options: ClusterOptions): Promise<RunningCluster> {
  const { stateDirectory, checkout, log } = options;
  const networks = new PodNetworks([DNS_IP]);
  const server = await startApiServer({ log: log.child({ part: 'apiserver' }), names: [NODE_IP, PUBLIC_HOST] });
  const { port } = await server.listen(options.publicListener);
  await server.listen({ host: NODE_IP, port: API_PORT });
  await server.publish(NODE_IP, API_PORT);
  const network = await startClusterNetwork(server.client, { log: log.child({ part: 'network' }) });
  const controllers = startControllers(server.client, {
    caCertificate: server.caCertificate,
    log: log.child({ part: 'controllers' }),
  });
  const node = await startNode(server.client, {
    stateDirectory: join(stateDirectory, 'node'),
    networks,
    checkout,
    images: images(join(checkout, 'dist')),
    ip: NODE_IP,
    dnsIP: DNS_IP,
    log: log.child({ part: 'node' }),
  });
  server.connectNode(node);
  const kubeconfig = join(stateDirectory, 'kubeconfig');
  server.writeKubeconfig(kubeconfig, `https://${PUBLIC_HOST}:${port}`);
  return {
    kubeconfig,
    close: async () => {
      controllers[Symbol.dispose]();
      await node.close();
      await network[Symbol.asyncDispose]();
      await server.close();
    },
  };
}

/** The sandbox's usual images, with those that this checkout bundles: the mesh's own, the demo's and the tests'. */
function images(dist: string): ReadonlyMap<string, Image> {
  const entry = join(dist, 'tulle.cjs');
  const bundled = (prefix: string): Image => ({
    entrypoint: ([name = '']) => ({ argv: [process.execPath, entry, `${prefix}${name}`], consumed: 1 }),
  });
  return new Map([
    ...defaultImages(dist),
    ['tulle.dev/tulle', bundled('')],
    ['tulle.dev/demo', bundled('demo-')],
    ['tulle.dev/test', bundled('test-')],
  ]);
}
