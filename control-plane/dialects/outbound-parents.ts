import { asList, asNumber, asObject, asText } from '#k8s/json.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Problem } from './problem.ts';

export const POLICY_GROUP = 'policy.linkerd.io';

/** What a route names as its parent and what decides about clients: a Service, or addresses outside of the cluster. */
export type OutboundParent = {
  readonly kind: 'Service' | 'EgressNetwork';
  readonly index: number; // in spec.parentRefs
  readonly namespace: string;
  readonly name: string;
  readonly port?: number; // absent: all
  readonly section?: string; // name of a port; absent: all
  readonly problem?: Problem; // why it can never be a parent
};

/** Parents of a route on the side of clients: the core group is written "" or, by habit, `core`. */
export function outboundParents({ spec, namespace, group: own }: CustomObject): readonly OutboundParent[] {
  return asList(spec['parentRefs']).flatMap((value, index) => {
    const fields = asObject(value);
    const name = asText(fields['name']);
    const kind = parentKind(asText(fields['group']) ?? own, asText(fields['kind']));
    if (name === undefined || kind === undefined) return [];
    const port = asNumber(fields['port']);
    const section = asText(fields['sectionName']) ?? '';
    const field = `spec.parentRefs[${index}]`;
    const problem = kind === 'EgressNetwork' ? egressProblem(port, section, field) : undefined;
    return [
      {
        kind,
        index,
        name,
        namespace: asText(fields['namespace']) ?? namespace,
        ...(port !== undefined && { port }),
        ...(section !== '' && { section }),
        ...(problem && { problem }),
      },
    ];
  });
}

function parentKind(group: string, kind: string | undefined): OutboundParent['kind'] | undefined {
  if (kind === 'Service' && (group === '' || group === 'core')) return kind;
  return kind === 'EgressNetwork' && group === POLICY_GROUP ? kind : undefined;
}

/** Source: linkerd2 `policy-controller`, which refuses such a parent. */
function egressProblem(port: number | undefined, section: string, field: string): Problem | undefined {
  if (port === undefined)
    return { field: `${field}.port`, message: 'is missing: a route of an EgressNetwork is of one port' };
  if (section === '') return undefined;
  return { field: `${field}.sectionName`, message: 'an EgressNetwork has no sections: leave sectionName out' };
}

/** Parents of a route that are Services. */
export function serviceParents(object: CustomObject): readonly OutboundParent[] {
  return outboundParents(object).filter(({ kind }) => kind === 'Service');
}
