import { TRUST_ROOTS_CONFIG_MAP } from '#config/names.ts';
import { asList, asObject, asText } from '#k8s/json.ts';
import type { Certificate } from '#pki/certificate.ts';
import { readTrustAnchors } from '#pki/trust-anchors.ts';
import { PROXY_CONTAINER } from '../../injector/decision.ts';
import type { ApiObject, Cluster } from '../cluster.ts';
import { publishedAnchorsPem } from '../published-anchors.ts';
import { reasonOf } from '../reason.ts';
import { report, type Check } from './check.ts';

const DAY_MS = 86_400_000;
const SOON_DAYS = 30;
const VARIABLE = 'LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS';

/**
 * Whether proxies trust what they must, now and should their container start again: one that runs is told new trust anchors
 * whenever it renews its certificate, one that starts knows only those of its pod.
 */
export function proxyAnchorChecks(
  cluster: Cluster,
  controlNamespace: string,
  proxies: () => Promise<readonly ApiObject[]>,
  now: () => number = Date.now,
): readonly Check[] {
  /** @throws Finding  naming the pods with a problem */
  const reportPods = async (problemOf: (anchorsPem: string) => string | undefined): Promise<void> => {
    const found = (await proxies()).flatMap((pod) => {
      const pem = anchorsOf(pod);
      const problem = pem === undefined ? undefined : problemOf(pem);
      return problem === undefined ? [] : [`${pod.metadata.namespace}/${pod.metadata.name}: ${problem}`];
    });
    report(found);
  };
  return [
    {
      description: 'data plane proxies trust an anchor that holds',
      hint: '`kubectl rollout restart` their workloads: a pod is given its trust anchors when it is made. When the anchors of the control plane have ended too, renew those first',
      severity: 'error',
      run: () => reportPods((pem) => problemNow(pem, now())),
    },
    {
      description: 'data plane proxies have trust anchors that last',
      hint: '`kubectl rollout restart` the workloads: new pods are given the current trust anchors. Proxies that run have learned them, but would not get a certificate if their container started again',
      severity: 'warning',
      run: async () => {
        const current = await currentAnchors(cluster, controlNamespace);
        if (current === undefined) return 'skip';
        return reportPods((pem) =>
          problemNow(pem, now()) === undefined ? problemLater(pem, current, now()) : undefined,
        );
      },
    },
  ];
}

function problemNow(pem: string, nowMs: number): string | undefined {
  let own: readonly Certificate[];
  try {
    own = readTrustAnchors(pem, VARIABLE);
  } catch (error) {
    return reasonOf(error);
  }
  const endMs = lastEnd(own);
  return endMs > nowMs ? undefined : `the last of its trust anchors ended at ${new Date(endMs).toISOString()}`;
}

/** @param current  the published anchors */
function problemLater(pem: string, current: readonly Certificate[], nowMs: number): string | undefined {
  const own = readTrustAnchors(pem, VARIABLE);
  const trusted = own.filter(({ der }) => current.some((anchor) => anchor.der.equals(der)));
  if (trusted.length === 0) return 'none of the trust anchors in its pod is one of the current ones';
  const endMs = lastEnd(trusted);
  // Where all anchors end soon a new pod would get no better ones: the forecast tells that.
  if (endMs - nowMs >= SOON_DAYS * DAY_MS || lastEnd(current) <= endMs) return undefined;
  return `the trust anchors in its pod end on ${new Date(endMs).toISOString().slice(0, 10)}`;
}

/** Undefined when they cannot be read, which a check of its own tells. */
async function currentAnchors(cluster: Cluster, namespace: string): Promise<readonly Certificate[] | undefined> {
  const pem = await publishedAnchorsPem(cluster, namespace);
  try {
    return pem === undefined ? undefined : readTrustAnchors(pem, TRUST_ROOTS_CONFIG_MAP);
  } catch {
    return undefined;
  }
}

function lastEnd(certificates: readonly Certificate[]): number {
  return Math.max(...certificates.map(({ notAfterMs }) => notAfterMs));
}

function anchorsOf(pod: ApiObject): string | undefined {
  const { initContainers, containers } = asObject(pod['spec']);
  const proxy = [...asList(initContainers), ...asList(containers)]
    .map(asObject)
    .find(({ name }) => name === PROXY_CONTAINER);
  const variable = asList(proxy?.['env'])
    .map(asObject)
    .find(({ name }) => name === VARIABLE);
  return asText(variable?.['value']);
}
