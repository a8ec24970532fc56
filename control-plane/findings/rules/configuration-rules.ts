import type { Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Configuration } from '../configuration.ts';
import { authorizationFindings } from './authorizations.ts';
import { egressFindings } from './egress.ts';
import { ownFindings } from './objects.ts';
import { probeFindings } from './probes.ts';
import { routeFindings } from './routes.ts';
import { serverFindings } from './servers.ts';
import { shadowedConnections } from './shadowed-connections.ts';
import { shadowedRules } from './shadowed-rules.ts';
import { trafficFindings } from './traffic.ts';

/** Rules about the objects that the control plane reads, which it asks itself for their status. */
export const CONFIGURATION_RULES: readonly ((configuration: Configuration) => readonly Diagnosis[])[] = [
  ownFindings,
  routeFindings,
  shadowedRules,
  shadowedConnections,
  egressFindings,
  serverFindings,
  probeFindings,
  authorizationFindings,
  trafficFindings,
];
