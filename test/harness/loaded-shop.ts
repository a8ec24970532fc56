import { setTimeout as sleep } from 'node:timers/promises';
import { loadSummary, namespaceYaml, serviceYaml, type LoadSummary, type Mesh } from './mesh.ts';
import { until } from './until.ts';

/** For `tulle install`: what flows is mutual TLS, since nothing else is let in. */
export const ONLY_MESHED: readonly string[] = ['--set', 'proxy.defaultInboundPolicy=all-authenticated'];

/**
 * Two meshed servers and a meshed client that sends them requests, in namespace shop.
 *
 * @param rate  of requests in a second
 * @returns a function that reads the client's figures
 */
export async function startLoadedShop(mesh: Mesh, rate = 50): Promise<() => Promise<LoadSummary>> {
  await mesh.apply(namespaceYaml('shop', true));
  await mesh.apply(serviceYaml('shop', 'server', { args: ['server'], replicas: 2, ports: [8080] }));
  await mesh.ready('shop');
  await mesh.apply(
    serviceYaml('shop', 'client', { args: ['load', 'http://server:8080/', String(rate)], replicas: 1, ports: [] }),
  );
  await mesh.ready('shop');
  const loadOf = async (): Promise<LoadSummary> => {
    const [pod] = await mesh.pods('shop', 'app=client');
    return loadSummary(await mesh.logs('shop', pod?.metadata.name ?? '', 'app'));
  };
  await until('the first requests', 30_000, async () => (await loadOf()).ok > 100);
  return loadOf;
}

/**
 * Waits until the client of a loaded shop gets answers, and nothing but answers.
 *
 * @param requests  reads the client's figures
 */
export async function trafficFlows(requests: () => Promise<LoadSummary>, deadlineMs: number): Promise<void> {
  await until('traffic that flows', deadlineMs, async () => {
    const start = await requests();
    await sleep(1_000);
    const end = await requests();
    return end.ok - start.ok > 30 && end.failed === start.failed;
  });
}
