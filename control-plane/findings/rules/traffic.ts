import { asList, asObject, asText } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { parseServiceName } from '#model/service-target.ts';
import { splitService } from '../../dialects/smi.ts';
import { trafficProblems } from '../../policy/traffic-objects.ts';
import { refusalsOf } from '../../diagnosis/own-problems.ts';
import { diagnose, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Configuration } from '../configuration.ts';

const ANY_PORT = 80;

/** What becomes of ServiceProfiles and TrafficSplits. */
export function trafficFindings(configuration: Configuration): readonly Diagnosis[] {
  return configuration.custom.flatMap((object) => {
    if (object.kind === 'ServiceProfile') return ofProfile(object, configuration);
    return object.kind === 'TrafficSplit' ? ofSplit(object, configuration) : [];
  });
}

function ofProfile(profile: CustomObject, { services, context }: Configuration): readonly Diagnosis[] {
  const target = parseServiceName(profile.name, ANY_PORT, context.clusterDomain);
  if (target === undefined) {
    const problems = trafficProblems(profile, context.clusterDomain).filter(({ field }) => field === 'metadata.name');
    return problems.map(({ field, message }) => diagnose('TL0401', profile, field, message));
  }
  const name = `${target.namespace}/${target.service}`;
  if (services.get(target.namespace, target.service) !== undefined) return [];
  return [diagnose('TL0401', profile, 'metadata.name', `Service ${name} does not exist`)];
}

function ofSplit(split: CustomObject, { services, traffic, context }: Configuration): readonly Diagnosis[] {
  if (refusalsOf(split, context.policy).length > 0) return [];
  const { namespace } = split;
  const missing = (name: string, field: string): readonly Diagnosis[] =>
    services.get(namespace, name) === undefined
      ? [diagnose('TL0404', split, field, `Service ${namespace}/${name} does not exist`)]
      : [];
  const service = splitService(split);
  const winner = traffic.ofService(namespace, service, ANY_PORT, undefined).ref;
  const isDisplaced = winner?.type === 'resource' && (winner.kind !== split.kind || winner.name !== split.name);
  // A profile without targets leaves the split in force, and is named before it nevertheless.
  const decides = traffic.ofService(namespace, service, ANY_PORT, undefined).targets?.[0]?.ref?.type === 'resource';
  const isByOtherSplit = isDisplaced && (winner.kind === split.kind || !decides);
  return [
    ...missing(service, 'spec.service'),
    ...asList(split.spec['backends']).flatMap((value, index) =>
      missing((asText(asObject(value)['service']) ?? '').split('.', 1)[0] ?? '', `spec.backends[${index}].service`),
    ),
    ...(isByOtherSplit
      ? [diagnose('TL0405', split, 'spec.service', `${winner.kind} ${winner.namespace}/${winner.name} decides`)]
      : []),
  ];
}
