import { trafficProblems, TRAFFIC_KINDS } from '../policy/traffic-objects.ts';
import { findingAbout, type Finding } from './finding.ts';
import { listKind, type ObjectReader } from './reader.ts';

/** What ServiceProfiles and TrafficSplits, which have no status, say and what has no effect. */
export async function ineffectiveTraffic(
  reader: ObjectReader,
  clusterDomain: string,
  namespace: string | undefined,
): Promise<readonly Finding[]> {
  const lists = await Promise.all(TRAFFIC_KINDS.map((kind) => listKind(reader, kind, namespace)));
  return lists
    .flat()
    .flatMap((object) =>
      trafficProblems(object, clusterDomain).map(({ field, message }) => findingAbout(object, field, message)),
    );
}
