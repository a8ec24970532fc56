import { SERVICES } from '#k8s/resources/service.ts';
import { serviceProblems, trafficProblems, TRAFFIC_KINDS } from '../policy/traffic-objects.ts';
import { findingAbout, type Finding } from '../diagnosis/finding.ts';
import { listKind, listPath, type ObjectReader } from './reader.ts';

/** What ServiceProfiles, TrafficSplits and annotations of Services, which have no status, say and what has no effect. */
export async function ineffectiveTraffic(
  reader: ObjectReader,
  clusterDomain: string,
  namespace: string | undefined,
): Promise<readonly Finding[]> {
  const [services, ...lists] = await Promise.all([
    reader.list(listPath(SERVICES.apiPath, SERVICES.plural, namespace)),
    ...TRAFFIC_KINDS.map((kind) => listKind(reader, kind, namespace)),
  ]);
  const ofObjects = lists
    .flat()
    .flatMap((object) =>
      trafficProblems(object, clusterDomain).map(({ field, message }) => findingAbout(object, field, message)),
    );
  const ofServices = services.flatMap((object) => {
    const service = SERVICES.parse(object);
    if (service === undefined) return [];
    const subject = { ...service, kind: 'Service', group: '' };
    return serviceProblems(service).map(({ field, message }) => findingAbout(subject, field, message));
  });
  return [...ofObjects, ...ofServices];
}
