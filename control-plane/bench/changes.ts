import type { LocalClient } from '../../sandbox/apiserver/local-client.ts';
import { clientName, placeOf, routeRules, type ClusterSize } from './cluster.ts';

/** What a change is about, and which kind of stream hears of it. */
export const TOPICS = ['endpoints', 'outbound', 'inbound'] as const;
export type Topic = (typeof TOPICS)[number];

/** Of ten changes: endpoints come and go more often than policies change. */
const MIX: readonly Topic[] = [
  ...Array<Topic>(6).fill('endpoints'),
  ...Array<Topic>(2).fill('outbound'),
  ...Array<Topic>(2).fill('inbound'),
];

/** A change that was written: `marker`, which grows, is found again in what streams are told. */
export type Change = {
  readonly topic: Topic;
  readonly service: number;
  readonly marker: number;
  readonly atMs: number;
};

/** Markers are timeouts, numbers in names and addresses: the smallest is larger than what is there before any change. */
export const MARKER_MIN = 100_000;

/** An address that stands for a marker and is no pod's. */
export function markerAddress(marker: number): string {
  return `100.${(marker >> 16) & 255}.${(marker >> 8) & 255}.${marker & 255}`;
}

/** The topic and Service of the nth change: all of them in turn, so that no two runs differ. */
export function target(nth: number, size: ClusterSize): { readonly topic: Topic; readonly service: number } {
  return { topic: MIX[nth % MIX.length] ?? 'endpoints', service: (nth * 7) % size.services };
}

/** Writes a change. Resolves when the API server has it. */
export async function write(
  client: LocalClient,
  size: ClusterSize,
  { topic, service, marker }: Omit<Change, 'atMs'>,
): Promise<void> {
  const place = placeOf(service, size);
  const { namespace, name } = place;
  switch (topic) {
    case 'endpoints': {
      // One endpoint goes, another one comes.
      const slice = client.get('endpointslices.discovery.k8s.io', namespace, name) as { endpoints?: readonly object[] };
      const endpoints = [
        ...(slice.endpoints ?? []).slice(0, -1),
        { addresses: [markerAddress(marker)], conditions: { ready: true } },
      ];
      await client.patch('endpointslices.discovery.k8s.io', namespace, name, 'merge', { endpoints });
      break;
    }
    case 'outbound': {
      const spec = { rules: routeRules(place, marker) };
      await client.patch('httproutes.gateway.networking.k8s.io', namespace, name, 'merge', { spec });
      break;
    }
    case 'inbound': {
      const spec = { identities: [clientName(marker)] };
      await client.patch('meshtlsauthentications.policy.linkerd.io', namespace, name, 'merge', { spec });
      break;
    }
  }
}
