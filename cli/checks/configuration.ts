import { isRouteKind } from '../../control-plane/dialects/route-kinds.ts';
import { formatDiagnosis, type Diagnosis } from '../../control-plane/diagnosis/diagnosis.ts';
import { clusterContextOf, clusterFindings } from '../../control-plane/findings/cluster-findings.ts';
import type { Cluster } from '../cluster.ts';
import { installedValues } from '../installed-values.ts';
import { report, type Check } from './check.ts';

/** Whether what users say about traffic and clients has an effect: what `tulle analyze` says, with its codes. */
export function configurationChecks(
  cluster: Cluster,
  controlNamespace: string,
  namespace: string | undefined,
): readonly Check[] {
  let found: Promise<readonly Diagnosis[]> | undefined;
  const findings = (): Promise<readonly Diagnosis[]> => (found ??= look(cluster, controlNamespace, namespace));
  const check = (description: string, remedy: string, isMeant: (one: Diagnosis) => boolean): Check => {
    const hint = `${remedy}; \`tulle analyze\` says what each code means and what to do`;
    return {
      description,
      hint,
      severity: 'warning', // the mesh is well, what one of its users wrote is not
      run: async () => {
        const those = (await findings()).filter(isMeant);
        const errors = those.filter(({ severity }) => severity === 'error').length;
        report(
          those.map(formatDiagnosis),
          errors === 0 ? undefined : `${hint}, and fails for errors: here ${errors === 1 ? 'is one' : `are ${errors}`}`,
        );
      },
    };
  };
  const isPolicy = (one: Diagnosis): boolean => one.group === 'policy.linkerd.io' && !isRouteKind(one);
  return [
    check(
      'routes are accepted and all of them has an effect',
      '`kubectl describe` of the route shows the conditions; a refused route is not used at all',
      isRouteKind,
    ),
    check(
      'every policy object takes effect',
      'correct the field or create what it points at; until then it grants nothing',
      isPolicy,
    ),
    check(
      'every ServiceProfile, TrafficSplit and annotation of a Service takes effect',
      'correct the field; until then what it says is left out',
      (one) => !isRouteKind(one) && !isPolicy(one),
    ),
  ];
}

async function look(
  cluster: Cluster,
  controlNamespace: string,
  namespace: string | undefined,
): Promise<readonly Diagnosis[]> {
  const { values } = await installedValues(cluster, controlNamespace);
  return clusterFindings(cluster, clusterContextOf(values), namespace);
}
