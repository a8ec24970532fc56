import type { JsonObject, KubeObject } from '../object.ts';
import type { ResourceType } from '../registry.ts';
import { badRequest } from '../status-error.ts';
import type { ListMetadata, MetaVersion } from './metadata-only.ts';
import { partialMetadata } from './metadata-only.ts';
import * as cluster from './printers/cluster.ts';
import { customPrinter } from './printers/custom.ts';
import * as network from './printers/network.ts';
import { podPrinter } from './printers/pod.ts';
import type { Printer } from './printers/printer.ts';
import * as workloads from './printers/workloads.ts';

/** What goes into the field `object` of each row. Source: meta.k8s.io/v1 `IncludeObjectPolicy`. */
export type IncludeObject = 'None' | 'Metadata' | 'Object';

export type TableOptions = {
  readonly version: MetaVersion;
  readonly includeObject: IncludeObject;
  readonly hasColumns: boolean; // false for every event of a watch but the first
  readonly nowMs: number; // wall clock, for ages
};

/** By `kind.group`; kinds that are missing print their name and when they were created. */
const builtinPrinters: Readonly<Record<string, Printer>> = {
  'Pod.': podPrinter,
  'Service.': network.servicePrinter,
  'Endpoints.': network.endpointsPrinter,
  'Namespace.': cluster.namespacePrinter,
  'Node.': cluster.nodePrinter,
  'ConfigMap.': cluster.configMapPrinter,
  'Secret.': cluster.secretPrinter,
  'ServiceAccount.': cluster.serviceAccountPrinter,
  'Event.': cluster.eventPrinter,
  'Event.events.k8s.io': cluster.eventPrinter,
  'Deployment.apps': workloads.deploymentPrinter,
  'ReplicaSet.apps': workloads.replicaSetPrinter,
  'StatefulSet.apps': workloads.statefulSetPrinter,
  'DaemonSet.apps': workloads.daemonSetPrinter,
  'ControllerRevision.apps': workloads.controllerRevisionPrinter,
  'Job.batch': workloads.jobPrinter,
  'CronJob.batch': workloads.cronJobPrinter,
  'PodDisruptionBudget.policy': workloads.podDisruptionBudgetPrinter,
  'EndpointSlice.discovery.k8s.io': network.endpointSlicePrinter,
  'Ingress.networking.k8s.io': network.ingressPrinter,
  'IngressClass.networking.k8s.io': network.ingressClassPrinter,
  'NetworkPolicy.networking.k8s.io': network.networkPolicyPrinter,
  'RoleBinding.rbac.authorization.k8s.io': cluster.roleBindingPrinter,
  'ClusterRoleBinding.rbac.authorization.k8s.io': cluster.roleBindingPrinter,
  'MutatingWebhookConfiguration.admissionregistration.k8s.io': cluster.webhookPrinter,
  'ValidatingWebhookConfiguration.admissionregistration.k8s.io': cluster.webhookPrinter,
  'ValidatingAdmissionPolicy.admissionregistration.k8s.io': cluster.admissionPolicyPrinter,
  'ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io': cluster.admissionPolicyBindingPrinter,
  'Lease.coordination.k8s.io': cluster.leasePrinter,
  'PriorityClass.scheduling.k8s.io': cluster.priorityClassPrinter,
};

export function tablePrinter(type: ResourceType): Printer {
  if (type.custom !== undefined) return customPrinter(type.custom.printerColumns);
  return builtinPrinters[`${type.kind}.${type.group}`] ?? cluster.plainPrinter;
}

/** The query parameter `includeObject`; metadata is what kubectl needs by default. Throws 400 on another word. */
export function includeObjectOf(parameter: string | null | undefined): IncludeObject {
  switch (parameter) {
    case null:
    case undefined:
    case '':
    case 'Metadata':
      return 'Metadata';
    case 'None':
    case 'Object':
      return parameter;
    default:
      throw badRequest(`unrecognized includeObject value: "${parameter}"`);
  }
}

/**
 * Objects of one kind as a table; one object alone, or none (a bookmark), are tables too.
 *
 * @param metadata  of the list, or the resourceVersion of the one object
 */
export function listTable(
  printer: Printer,
  objects: readonly KubeObject[],
  metadata: ListMetadata,
  options: TableOptions,
): JsonObject {
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${options.version}`,
    metadata,
    columnDefinitions: options.hasColumns ? printer.columns : null,
    rows: objects.map((object) => row(printer, object, options)),
  };
}

function row(printer: Printer, object: KubeObject, options: TableOptions): JsonObject {
  const conditions = printer.conditions?.(object);
  return {
    cells: printer.cells(object, options.nowMs),
    ...(conditions === undefined ? {} : { conditions }),
    object: rowObject(object, options),
  };
}

function rowObject(object: KubeObject, options: TableOptions): JsonObject | null {
  switch (options.includeObject) {
    case 'None':
      return null;
    case 'Metadata':
      return partialMetadata(object, options.version);
    case 'Object':
      return object;
  }
}
