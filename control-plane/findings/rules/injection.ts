import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { proxySettings } from '../../../injector/annotations.ts';
import { INJECT_ANNOTATION, isInjectValue } from '../../../injector/decision.ts';
import { annotationProblems } from '../../diagnosis/own-problems.ts';
import { diagnose, type Diagnosis, type Subject } from '../../diagnosis/diagnosis.ts';
import type { Inventory } from '../inventory.ts';
import { isConfigurationLabel } from '../misplaced.ts';

type Settings = {
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
};

/** What is set on namespaces and pods, and namespaces whose policies nobody enforces. */
export function injectionFindings(inventory: Inventory): readonly Diagnosis[] {
  const { given, namespaces, workloads } = inventory;
  const ofNamespaces = given
    .filter(({ kind, group }) => kind === 'Namespace' && group === '')
    .flatMap((about) => {
      const namespace = namespaces.find(about.name);
      return namespace === undefined
        ? []
        : [...settingFindings(about, namespace), ...withoutInjection(about, inventory)];
    });
  const ofWorkloads = workloads.flatMap((workload) => {
    const inherited = namespaces.find(workload.namespace)?.annotations ?? {};
    // Pods are given the annotations of their namespace: told once is enough.
    const own = Object.entries(workload.annotations).filter(([name, value]) => inherited[name] !== value);
    return settingFindings(workload, { annotations: Object.fromEntries(own), labels: workload.pod.labels });
  });
  return [...ofNamespaces, ...ofWorkloads];
}

function settingFindings(about: Subject, { annotations, labels }: Settings): readonly Diagnosis[] {
  const value = annotations[INJECT_ANNOTATION];
  const { problems } = proxySettings(defaultValues(VERSION).proxy, {}, annotations);
  return [
    ...(value === undefined || isInjectValue(value)
      ? []
      : [diagnose('TL0503', about, field(INJECT_ANNOTATION), `"${value}" is none of enabled, ingress, disabled`)]),
    ...problems.map(({ annotation, message }) => diagnose('TL0504', about, field(annotation), message)),
    ...annotationProblems(about.kind === 'Namespace' ? 'Namespace' : 'Pod', annotations).map((one) =>
      diagnose(one.code, about, one.field, one.message),
    ),
    ...Object.keys(labels)
      .filter(isConfigurationLabel)
      .map((name) =>
        diagnose('TL0303', about, `metadata.labels[${name}]`, 'is a label, and has an effect as annotation only'),
      ),
  ];
}

function field(annotation: string): string {
  return `metadata.annotations[${annotation}]`;
}

function withoutInjection(about: Subject, inventory: Inventory): readonly Diagnosis[] {
  const { namespaces, custom } = inventory;
  const policies = custom.filter(({ namespace, group }) => namespace === about.name && group === 'policy.linkerd.io');
  // Global EgressNetworks are about clients elsewhere.
  const isElsewhere = (kind: string): boolean =>
    kind === 'EgressNetwork' && about.name === inventory.context.globalEgressNamespace;
  const servers = policies.filter(({ kind }) => kind !== 'HTTPRoute' && !isElsewhere(kind));
  const value = namespaces.find(about.name)?.annotations[INJECT_ANNOTATION];
  const isInjected = value === 'enabled' || value === 'ingress';
  if (servers.length === 0 || isInjected || inventory.workloadsIn(about.name).some(({ isMeshed }) => isMeshed))
    return [];
  const count = servers.length === 1 ? 'one policy object is' : `${servers.length} policy objects are`;
  const message = `${count} here, and no pod gets a proxy`;
  return [diagnose('TL0501', about, field(INJECT_ANNOTATION), message)];
}
