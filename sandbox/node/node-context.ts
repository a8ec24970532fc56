import type { Logger } from '#runtime/log.ts';

import type { LocalClient } from '../apiserver/local-client.ts';
import type { ContainerHost } from './container-process.ts';
import type { RestartBackoff } from './container-slot.ts';
import type { ClusterNames } from './etc-files.ts';
import type { ImageMap } from './images.ts';

/** Networks of pods; `sandbox/network/pod-network.ts` makes them. */
export interface PodNetworks {
  /** A network namespace for a pod, with its address and routes. The descriptor lives until `remove`. */
  create(podUid: string): { readonly netns: number; readonly netnsPath: string; readonly ip: string };
  remove(podUid: string): void;
  /** Addresses are given out from the first one again: pods get those that others had. */
  startOver(): void;
}

/** What all pods of a node share. */
export type NodeContext = {
  readonly client: LocalClient;
  readonly nodeName: string;
  readonly nodeIP: string;
  readonly networks: PodNetworks;
  readonly host: ContainerHost;
  readonly images: ImageMap;
  readonly names: ClusterNames;
  readonly allocatable: { readonly cpu: number; readonly memoryBytes: number };
  readonly backoff: RestartBackoff;
  readonly directories: NodeDirectories;
  readonly log: Logger;
  /** Whether processes can run as this user here. */
  isUserMapped(uid: number): boolean;
};

/** Folders below the state directory. */
export type NodeDirectories = {
  readonly pods: string; // one folder per pod uid: etc files, emptyDir volumes
  readonly memory: string; // a tmpfs: volumes that the node writes
  readonly logs: string;
};

/** Source of the events that a node records. */
export const EVENT_SOURCE = 'kubelet';
