import { join } from 'node:path';
import type { Logger } from '#runtime/log.ts';
import { NODE_ENVIRONMENT, NODE_FLAGS } from '../control-plane/install/node-flags.ts';
import { startApiServer, type ListenTarget } from './apiserver/server.ts';
import { startControllers } from './controllers/controllers.ts';
import { DEFAULT_ADDRESSES, type ClusterAddresses } from './network/addresses.ts';
import { startClusterNetwork } from './network/cluster-network.ts';
import { startLoadBalancers } from './network/load-balancers.ts';
import { peerSocket } from './network/peer-route.ts';
import { Peers } from './network/peers.ts';
import { PodNetworks } from './network/pod-network.ts';
import { defaultImages, type Image } from './node/images.ts';
import { startNode } from './node/node.ts';
import { Power } from './node/power.ts';

/** Folders of bundled programs, by the name of the image that they are. */
export type Bundles = ReadonlyMap<string, string>;

export type ClusterOptions = {
  readonly stateDirectory: string;
  readonly checkout: string; // folder of the repository, with the bundles in `dist`
  readonly publicListener: ListenTarget; // where the machine reaches the API server
  readonly addresses?: ClusterAddresses;
  readonly bundles: Bundles; // besides those of the checkout
  readonly log: Logger;
};

const API_PORT = 6443;
const NODE_NAME = 'sandbox';
/** Addresses that the machine may use for the API server. */
const PUBLIC_HOST = '127.0.0.1';

/** A whole cluster in this process, which must be inside namespaces of its own. */
export type RunningCluster = { readonly kubeconfig: string; readonly close: () => Promise<void> };

/** Puts API server, controllers, network, DNS and node together. */
export async function startCluster(options: ClusterOptions): Promise<RunningCluster> {
  const { stateDirectory, checkout, addresses = DEFAULT_ADDRESSES, log } = options;
  const { nodeIP, dnsIP, serviceNetwork } = addresses;
  const networks = new PodNetworks([dnsIP], addresses);
  const server = await startApiServer({
    log: log.child({ part: 'apiserver' }),
    names: [nodeIP, PUBLIC_HOST],
    serviceNetwork,
  });
  const { port } = await server.listen(options.publicListener);
  await server.listen({ host: nodeIP, port: API_PORT });
  await server.publish(nodeIP, API_PORT);
  const network = await startClusterNetwork(server.client, { addresses, log: log.child({ part: 'network' }) });
  const balancers = startLoadBalancers(server.client, nodeIP, log);
  const peers = await Peers.start(peerSocket(stateDirectory), nodeIP, log.child({ part: 'peers' }));
  const controllers = startControllers(server.client, {
    caCertificate: server.caCertificate,
    log: log.child({ part: 'controllers' }),
  });
  const node = await startNode(server.client, {
    stateDirectory: join(stateDirectory, 'node'),
    networks,
    checkout,
    images: images(join(checkout, 'dist'), options.bundles),
    name: NODE_NAME,
    ip: nodeIP,
    dnsIP,
    log: log.child({ part: 'node' }),
  });
  server.connectNode(node);
  const power = new Power(server.client, NODE_NAME, node, log.child({ part: 'power' }));
  const kubeconfig = join(stateDirectory, 'kubeconfig');
  server.writeKubeconfig(kubeconfig, `https://${PUBLIC_HOST}:${port}`);
  return {
    kubeconfig,
    close: async () => {
      power[Symbol.dispose]();
      controllers[Symbol.dispose]();
      await node.close();
      balancers[Symbol.dispose]();
      await peers[Symbol.asyncDispose]();
      await network[Symbol.asyncDispose]();
      await server.close();
    },
  };
}

/** The sandbox's usual images, with those that this checkout bundles: the mesh's own, the demo's and the tests'. */
function images(dist: string, more: Bundles): ReadonlyMap<string, Image> {
  const bundled = (prefix: string, folder = dist): Image => ({
    entrypoint: ([name = '']) => ({
      argv: [process.execPath, ...NODE_FLAGS, join(folder, 'tulle.cjs'), `${prefix}${name}`],
      consumed: 1,
    }),
    env: NODE_ENVIRONMENT,
  });
  return new Map<string, Image>([
    ...defaultImages(dist),
    ['tulle.dev/tulle', bundled('')],
    // Its programs are where a person who runs a command in a pod is.
    ['tulle.dev/demo', { ...bundled('demo-'), directory: dist }],
    ['tulle.dev/test', bundled('test-')],
    ...[...more].map(([name, folder]): [string, Image] => [name, bundled('', folder)]),
  ]);
}
