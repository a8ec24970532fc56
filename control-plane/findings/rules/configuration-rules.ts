import type { Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Configuration } from '../configuration.ts';
import { authorizationFindings, unusedAuthentications } from './authorizations.ts';
import { egressFindings } from './egress.ts';
import { mistakenParents } from './mistaken-parents.ts';
import { ownFindings } from './objects.ts';
import { openDoors } from './open-doors.ts';
import { probeFindings } from './probes.ts';
import { routeFindings } from './routes.ts';
import { serverFindings } from './servers.ts';
import { shadowedConnections } from './shadowed-connections.ts';
import { shadowedRules } from './shadowed-rules.ts';
import { trafficFindings } from './traffic.ts';

type Rule = (configuration: Configuration) => readonly Diagnosis[];

/** Rules that look at each of `custom` by itself, beside all that there is: they may be asked about some at a time. */
export const OBJECT_RULES: readonly Rule[] = [
  ownFindings,
  routeFindings,
  mistakenParents,
  serverFindings,
  authorizationFindings,
  openDoors,
  trafficFindings,
];

/** A finding, or nothing: a place where other work may have its turn. */
type RuleInSteps = (configuration: Configuration) => Iterable<Diagnosis | undefined>;

/** Rules that look at everything, some of them step by step. */
export const CLUSTER_RULES: readonly RuleInSteps[] = [
  shadowedRules,
  shadowedConnections,
  egressFindings,
  probeFindings,
  unusedAuthentications,
];

/** Rules about the objects that the control plane reads, which it asks itself for their status. */
export const CONFIGURATION_RULES: readonly Rule[] = [...OBJECT_RULES, ...CLUSTER_RULES.map(atOnce)];

function atOnce(rule: RuleInSteps): Rule {
  return (configuration) => [...rule(configuration)].filter((one) => one !== undefined);
}
