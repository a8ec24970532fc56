import type { Cluster } from '../../cli/cluster.ts';
import { renderGatewayApiCrds, renderInstall } from '../../control-plane/install/render.ts';
import { vizManifests } from '../../viz/install/manifest.ts';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { applyAll, readManifests } from './apply.ts';
import type { Progress } from './progress.ts';
import { demoFile } from './stage.ts';
import { waitForDeployments, waitForTraffic } from './wait.ts';

const READY_TIMEOUT_MS = 120_000;
const TRAFFIC_TIMEOUT_MS = 60_000;

/** Installs Tulle and viz, and the shop with its visitors. */
export async function installShop(cluster: Cluster, progress: Progress): Promise<void> {
  const values = defaultValues(VERSION);
  await progress.step('apply `tulle install --crds --gateway-api` and `tulle install`', () =>
    applyAll(cluster, [...renderGatewayApiCrds(), ...renderInstall(values)]),
  );
  await progress.step('wait for the control plane', (note) => ready(cluster, ['tulle'], note));
  // Only now: the extension is meshed itself, and the injector must be there for that.
  await progress.step('apply `tulle viz install`', () => applyAll(cluster, vizManifests(values)));
  await progress.step('create the namespace shop, annotated with linkerd.io/inject=enabled', () =>
    applyAll(cluster, readManifests(demoFile('shop.yaml'))),
  );
  await progress.step('wait for the shop', (note) => ready(cluster, ['tulle-viz', 'shop'], note));
  await progress.step('watch the first visitors', (note) => waitForTraffic(cluster, 'shop', TRAFFIC_TIMEOUT_MS, note));
}

/** Waits for all Deployments of the namespaces. */
export function ready(
  cluster: Cluster,
  namespaces: readonly string[],
  note: (text: string) => void = () => undefined,
): Promise<void> {
  return waitForDeployments(cluster, namespaces, READY_TIMEOUT_MS, note);
}
