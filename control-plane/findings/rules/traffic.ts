import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { targetShares } from '#model/evaluate.ts';
import type { WeightedTarget } from '#model/profile.ts';
import { parseServiceName } from '#model/service-target.ts';
import { compileServiceProfile } from '../../dialects/service-profile.ts';
import { compileTrafficSplit, splitService } from '../../dialects/smi.ts';
import { absenceOfTarget, trafficProblems } from '../../policy/traffic-objects.ts';
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

function ofProfile(profile: CustomObject, configuration: Configuration): readonly Diagnosis[] {
  const isRefused = refusalsOf(profile, configuration.context.policy).length > 0;
  const { targets } = compileServiceProfile(profile, ANY_PORT);
  const field = (index: number): string => `spec.dstOverrides[${index}].authority`;
  return [
    ...ofProfileName(profile, configuration),
    ...(isRefused ? [] : absentTargets(profile, targets, field, configuration)),
  ];
}

function ofProfileName(profile: CustomObject, { services, context }: Configuration): readonly Diagnosis[] {
  const target = parseServiceName(profile.name, ANY_PORT, context.clusterDomain);
  if (target === undefined) {
    const problems = trafficProblems(profile, context.clusterDomain).filter(({ field }) => field === 'metadata.name');
    return problems.map(({ field, message }) => diagnose('TL0401', profile, field, message));
  }
  const name = `${target.namespace}/${target.service}`;
  if (services.get(target.namespace, target.service) !== undefined) return [];
  return [diagnose('TL0401', profile, 'metadata.name', `Service ${name} does not exist`)];
}

/** Targets without endpoints, and who gets their share. @param fieldOf  of a target, by its place */
function absentTargets(
  object: CustomObject,
  targets: readonly WeightedTarget[],
  fieldOf: (index: number) => string,
  { services, context }: Configuration,
): readonly Diagnosis[] {
  const absenceOf = (target: WeightedTarget): string | undefined =>
    absenceOfTarget(target, services, context.clusterDomain);
  const sum = targets.reduce((total, { weight }) => total + weight, 0);
  return targetShares({ isOpaque: false, targets }, { absenceOf }).flatMap(({ absence, failure }, index) => {
    const share = Math.round(((targets[index]?.weight ?? 0) / sum) * 1000) / 10;
    const message =
      failure !== undefined
        ? `${failure}, and no other target with a weight can be used: all requests fail`
        : absence === undefined
          ? undefined
          : share === 0
            ? `${absence}; its weight is 0`
            : `${absence}: its share of ${share} % goes to the others`;
    return message === undefined ? [] : [diagnose('TL0404', object, fieldOf(index), message)];
  });
}

function ofSplit(split: CustomObject, configuration: Configuration): readonly Diagnosis[] {
  const { services, traffic, context } = configuration;
  if (refusalsOf(split, context.policy).length > 0) return [];
  const { namespace } = split;
  const service = splitService(split);
  if (services.get(namespace, service) === undefined)
    return [
      diagnose('TL0404', split, 'spec.service', `Service ${namespace}/${service} does not exist: nothing is split`),
    ];
  const { targets } = compileTrafficSplit(split, ANY_PORT, context.clusterDomain);
  const field = (index: number): string => `spec.backends[${index}].service`;
  const winner = traffic.ofService(namespace, service, ANY_PORT, undefined).ref;
  const isDisplaced = winner?.type === 'resource' && (winner.kind !== split.kind || winner.name !== split.name);
  // A profile without targets leaves the split in force, and is named before it nevertheless.
  const decides = traffic.ofService(namespace, service, ANY_PORT, undefined).targets?.[0]?.ref?.type === 'resource';
  const isByOtherSplit = isDisplaced && (winner.kind === split.kind || !decides);
  return [
    ...absentTargets(split, targets, field, configuration),
    ...(isByOtherSplit
      ? [diagnose('TL0405', split, 'spec.service', `${winner.kind} ${winner.namespace}/${winner.name} decides`)]
      : []),
  ];
}
