import type { ObjectMeta } from '../apiserver/object.ts';

/** The fields of the built-in kinds that controllers read or write. Objects come from the store: never mutate them. */

export type Metadata = ObjectMeta;

type Kind<Fields> = { readonly apiVersion: string; readonly kind: string; readonly metadata: Metadata } & Fields;

/** Any object, as far as controllers care about all of them. */
export type AnyObject = Kind<unknown>;

export type LabelSelectorRequirement = {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
};

export type LabelSelector = {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly LabelSelectorRequirement[];
};

export type Condition = {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: string;
  readonly lastUpdateTime?: string; // Deployments only
  readonly lastProbeTime?: string | null; // Jobs and pods only
  readonly observedGeneration?: number;
};

export type ContainerPort = { readonly name?: string; readonly containerPort: number; readonly protocol?: string };
export type EnvVar = { readonly name: string; readonly value?: string; readonly valueFrom?: unknown };
export type Container = {
  readonly name: string;
  readonly ports?: readonly ContainerPort[];
  readonly env?: readonly EnvVar[];
  readonly restartPolicy?: string; // init containers: `Always` makes a sidecar
};
export type Toleration = {
  readonly key?: string;
  readonly operator?: string;
  readonly value?: string;
  readonly effect?: string;
};
export type NodeSelectorRequirement = {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
};
export type NodeSelectorTerm = {
  readonly matchExpressions?: readonly NodeSelectorRequirement[];
  readonly matchFields?: readonly NodeSelectorRequirement[];
};
export type PodSpec = {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly nodeName?: string;
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly affinity?: {
    readonly nodeAffinity?: {
      readonly requiredDuringSchedulingIgnoredDuringExecution?: {
        readonly nodeSelectorTerms: readonly NodeSelectorTerm[];
      };
    };
  };
  readonly tolerations?: readonly Toleration[];
  readonly hostname?: string;
  readonly subdomain?: string;
  readonly restartPolicy?: string;
};

export type PodTemplate = {
  readonly metadata?: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly finalizers?: readonly string[];
  };
  readonly spec: PodSpec;
};

export type ContainerStatus = { readonly name: string; readonly restartCount: number };
export type PodStatus = {
  readonly phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';
  readonly reason?: string;
  readonly podIP?: string;
  readonly podIPs?: readonly { readonly ip: string }[];
  readonly conditions?: readonly Condition[];
  readonly containerStatuses?: readonly ContainerStatus[];
  readonly initContainerStatuses?: readonly ContainerStatus[];
};
export type Pod = Kind<{ readonly spec: PodSpec; readonly status?: PodStatus }>;

export type Taint = { readonly key: string; readonly value?: string; readonly effect: string };
export type Node = Kind<{
  readonly spec?: { readonly taints?: readonly Taint[]; readonly unschedulable?: boolean };
}>;

/** A number, or a share such as `25%`. */
export type NumberOrPercent = number | string;

export type RollingUpdate = { readonly maxSurge?: NumberOrPercent; readonly maxUnavailable?: NumberOrPercent };

export type DeploymentStatus = {
  readonly observedGeneration?: number;
  readonly replicas?: number;
  readonly updatedReplicas?: number;
  readonly readyReplicas?: number;
  readonly availableReplicas?: number;
  readonly unavailableReplicas?: number;
  readonly collisionCount?: number;
  readonly conditions?: readonly Condition[];
};
export type Deployment = Kind<{
  readonly spec: {
    readonly replicas?: number;
    readonly selector: LabelSelector;
    readonly template: PodTemplate;
    readonly strategy?: { readonly type?: 'RollingUpdate' | 'Recreate'; readonly rollingUpdate?: RollingUpdate };
    readonly minReadySeconds?: number;
    readonly revisionHistoryLimit?: number;
    readonly paused?: boolean;
    readonly progressDeadlineSeconds?: number;
  };
  readonly status?: DeploymentStatus;
}>;

export type ReplicaSetStatus = {
  readonly observedGeneration?: number;
  readonly replicas: number;
  readonly fullyLabeledReplicas?: number;
  readonly readyReplicas?: number;
  readonly availableReplicas?: number;
  readonly conditions?: readonly Condition[];
};
export type ReplicaSet = Kind<{
  readonly spec: {
    readonly replicas?: number;
    readonly minReadySeconds?: number;
    readonly selector: LabelSelector;
    readonly template: PodTemplate;
  };
  readonly status?: ReplicaSetStatus;
}>;

export type StatefulSetStatus = {
  readonly observedGeneration?: number;
  readonly replicas: number;
  readonly readyReplicas?: number;
  readonly currentReplicas?: number;
  readonly updatedReplicas?: number;
  readonly availableReplicas?: number;
  readonly currentRevision?: string;
  readonly updateRevision?: string;
  readonly collisionCount?: number;
};
export type StatefulSet = Kind<{
  readonly spec: {
    readonly replicas?: number;
    readonly selector: LabelSelector;
    readonly template: PodTemplate;
    readonly serviceName?: string;
    readonly podManagementPolicy?: 'OrderedReady' | 'Parallel';
    readonly updateStrategy?: {
      readonly type?: 'RollingUpdate' | 'OnDelete';
      readonly rollingUpdate?: { readonly partition?: number };
    };
    readonly revisionHistoryLimit?: number;
    readonly minReadySeconds?: number;
    readonly ordinals?: { readonly start?: number };
    readonly volumeClaimTemplates?: readonly unknown[];
  };
  readonly status?: StatefulSetStatus;
}>;

export type DaemonSetStatus = {
  readonly currentNumberScheduled: number;
  readonly numberMisscheduled: number;
  readonly desiredNumberScheduled: number;
  readonly numberReady: number;
  readonly observedGeneration?: number;
  readonly updatedNumberScheduled?: number;
  readonly numberAvailable?: number;
  readonly numberUnavailable?: number;
  readonly collisionCount?: number;
};
export type DaemonSet = Kind<{
  readonly spec: {
    readonly selector: LabelSelector;
    readonly template: PodTemplate;
    readonly updateStrategy?: { readonly type?: 'RollingUpdate' | 'OnDelete'; readonly rollingUpdate?: RollingUpdate };
    readonly minReadySeconds?: number;
    readonly revisionHistoryLimit?: number;
  };
  readonly status?: DaemonSetStatus;
}>;

export type ControllerRevision = Kind<{ readonly revision: number; readonly data: unknown }>;

export type JobStatus = {
  readonly conditions?: readonly Condition[];
  readonly startTime?: string;
  readonly completionTime?: string;
  readonly active?: number;
  readonly ready?: number;
  readonly terminating?: number;
  readonly succeeded?: number;
  readonly failed?: number;
  readonly completedIndexes?: string;
  readonly uncountedTerminatedPods?: {
    readonly succeeded?: readonly string[];
    readonly failed?: readonly string[];
  };
};
export type JobSpec = {
  readonly parallelism?: number;
  readonly completions?: number;
  readonly activeDeadlineSeconds?: number;
  readonly backoffLimit?: number;
  readonly selector?: LabelSelector;
  readonly template: PodTemplate;
  readonly ttlSecondsAfterFinished?: number;
  readonly completionMode?: 'NonIndexed' | 'Indexed';
  readonly suspend?: boolean;
};
export type Job = Kind<{ readonly spec: JobSpec; readonly status?: JobStatus }>;

export type ObjectReference = {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
};
export type CronJobStatus = {
  readonly active?: readonly ObjectReference[];
  readonly lastScheduleTime?: string;
  readonly lastSuccessfulTime?: string;
};
export type CronJob = Kind<{
  readonly spec: {
    readonly schedule: string;
    readonly timeZone?: string;
    readonly startingDeadlineSeconds?: number;
    readonly concurrencyPolicy?: 'Allow' | 'Forbid' | 'Replace';
    readonly suspend?: boolean;
    readonly jobTemplate: { readonly metadata?: PodTemplate['metadata']; readonly spec: JobSpec };
    readonly successfulJobsHistoryLimit?: number;
    readonly failedJobsHistoryLimit?: number;
  };
  readonly status?: CronJobStatus;
}>;

export type ServicePort = {
  readonly name?: string;
  readonly protocol?: string;
  readonly appProtocol?: string;
  readonly port: number;
  readonly targetPort?: number | string;
};
export type Service = Kind<{
  readonly spec: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly ipFamilies?: readonly string[];
    readonly selector?: Readonly<Record<string, string>>;
    readonly ports?: readonly ServicePort[];
    readonly publishNotReadyAddresses?: boolean;
  };
}>;

export type SliceEndpoint = {
  readonly addresses: readonly string[];
  readonly conditions: { readonly ready: boolean; readonly serving: boolean; readonly terminating: boolean };
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly zone?: string;
  readonly targetRef?: ObjectReference;
};
export type SlicePort = {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly appProtocol?: string;
};
export type EndpointSlice = Kind<{
  readonly addressType: 'IPv4' | 'IPv6';
  readonly endpoints: readonly SliceEndpoint[] | null;
  readonly ports: readonly SlicePort[] | null;
}>;

export type EndpointAddress = {
  readonly ip: string;
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly targetRef?: ObjectReference;
};
export type EndpointSubset = {
  readonly addresses?: readonly EndpointAddress[];
  readonly notReadyAddresses?: readonly EndpointAddress[];
  readonly ports?: readonly { name?: string; port: number; protocol?: string; appProtocol?: string }[];
};
export type Endpoints = Kind<{ readonly subsets?: readonly EndpointSubset[] }>;

export type Namespace = Kind<{
  readonly spec?: { readonly finalizers?: readonly string[] };
  readonly status?: { readonly phase?: string; readonly conditions?: readonly Condition[] };
}>;

export type PodDisruptionBudget = Kind<{
  readonly spec: {
    readonly minAvailable?: NumberOrPercent;
    readonly maxUnavailable?: NumberOrPercent;
    readonly selector?: LabelSelector;
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly disruptedPods?: Readonly<Record<string, string>>;
    readonly disruptionsAllowed: number;
    readonly currentHealthy: number;
    readonly desiredHealthy: number;
    readonly expectedPods: number;
    readonly conditions?: readonly Condition[];
  };
}>;

export type CustomResourceDefinition = Kind<{
  readonly spec: {
    readonly group: string;
    readonly names: { readonly plural: string; readonly kind: string };
    readonly scope: 'Namespaced' | 'Cluster';
    readonly versions: readonly { readonly name: string; readonly served: boolean; readonly storage: boolean }[];
  };
  readonly status?: { readonly conditions?: readonly Condition[] };
}>;

export type Event = Kind<{
  readonly reason?: string;
  readonly message?: string;
  readonly lastTimestamp?: string | null;
  readonly eventTime?: string | null;
}>;

/** Resource names, as `LocalClient` takes them, and what they hold. */
export type Kinds = {
  pods: Pod;
  nodes: Node;
  services: Service;
  endpoints: Endpoints;
  events: Event;
  namespaces: Namespace;
  serviceaccounts: AnyObject;
  configmaps: Kind<{ readonly data?: Readonly<Record<string, string>> }>;
  'deployments.apps': Deployment;
  'replicasets.apps': ReplicaSet;
  'statefulsets.apps': StatefulSet;
  'daemonsets.apps': DaemonSet;
  'controllerrevisions.apps': ControllerRevision;
  'jobs.batch': Job;
  'cronjobs.batch': CronJob;
  'endpointslices.discovery.k8s.io': EndpointSlice;
  'poddisruptionbudgets.policy': PodDisruptionBudget;
  'customresourcedefinitions.apiextensions.k8s.io': CustomResourceDefinition;
};
export type Resource = keyof Kinds;
