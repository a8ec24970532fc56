import { renderInstall } from '../../control-plane/install/render.ts';
import { multiclusterAnchor } from '../../multicluster/cli/anchor.ts';
import { multiclusterCheck } from '../../multicluster/cli/check.ts';
import { multiclusterGateways } from '../../multicluster/cli/gateways.ts';
import { multiclusterLink } from '../../multicluster/cli/link.ts';
import { multiclusterManifests } from '../../multicluster/install/manifest.ts';
import { GATEWAY, NAMESPACE } from '../../multicluster/names.ts';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { applyAll, readManifests } from './apply.ts';
import { ready } from './install.ts';
import type { Progress } from './progress.ts';
import { demoFile, type Stage } from './stage.ts';

const PROBE_SECONDS = 1;
const TRUST_DOMAIN = 'serviceaccount.identity.tulle.cluster.local';

export type Clusters = { readonly west: Stage; readonly east: Stage };

/** Installs Tulle with the multicluster extension in both clusters: a catalog in the west, its visitors in the east. */
export async function installLinked({ west, east }: Clusters, progress: Progress): Promise<void> {
  const both = [west.cluster, east.cluster];
  const values = defaultValues(VERSION);
  const extension = multiclusterManifests(values, { serviceType: 'LoadBalancer', probeSeconds: PROBE_SECONDS });
  await progress.step('west: apply `tulle install`', () => applyAll(west.cluster, renderInstall(values)));
  await progress.step('west: wait for the control plane', (note) => ready(west.cluster, ['tulle'], note));
  await progress.step('east: the trust anchor of west, then `tulle install`', async () => {
    await applyAll(east.cluster, readManifests(await west.output(multiclusterAnchor, [])));
    await applyAll(east.cluster, renderInstall(values));
  });
  await progress.step('east: wait for the control plane', (note) => ready(east.cluster, ['tulle'], note));
  await progress.step('apply `tulle multicluster install` and the shop in both', async () => {
    for (const cluster of both) await applyAll(cluster, extension);
    await applyAll(west.cluster, readManifests(demoFile('west.yaml')));
    await applyAll(east.cluster, readManifests(demoFile('east.yaml')));
  });
  await progress.step('wait for the gateways and the shop', async (note) => {
    await Promise.all(both.map((cluster) => ready(cluster, [NAMESPACE, 'shop'], note)));
  });
}

/** Links the clusters and shows a request that crosses. Each step is true, or the demo fails. */
export async function tourLinked({ west, east }: Clusters, westServer: string): Promise<void> {
  west.say('East gets the right to see what west exports, and the address of its gateway:');
  const link = ['--cluster-name', 'west', '--api-server-address', westServer];
  await west.pipe(multiclusterLink, link, east);

  west.say('West exports its catalog. East then has a Service of that name, with mutual TLS all the way:');
  await west.label('service', 'shop', 'catalog', { 'mirror.linkerd.io/exported': 'true' });
  const pods = (await west.cluster.list('/api/v1/namespaces/shop/pods')).map(({ metadata }) => metadata.name);
  const request = ['1', 'http://catalog-west:8080/items'];
  await east.ask('shop', 'visitors', request, (answer) => isFromWest(answer, pods));

  east.say('The gateway is probed all the time; when it is dead, requests fail at once and say so.');
  await east.tulle(multiclusterGateways, [], /^west +True +1 /m);
  await east.tulle(multiclusterCheck, ['--wait', '20s']);
}

/** Answered by a pod of west, to the gateway of west, on behalf of the visitors of east: each as its certificate says. */
function isFromWest(answer: string, pods: readonly string[]): boolean {
  const field = (name: string): string => new RegExp(`^  ${name}: (.*)$`, 'm').exec(answer)?.[1] ?? '';
  return (
    answer.startsWith('200\n') &&
    pods.includes(field('from')) &&
    field('client') === `${GATEWAY}.${NAMESPACE}.${TRUST_DOMAIN}` &&
    field('forwarded').includes(`for=visitors.shop.${TRUST_DOMAIN}`)
  );
}
