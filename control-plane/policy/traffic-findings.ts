import type { ResourceStore } from '#k8s/resource-store.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { Service } from '#k8s/resources/service.ts';
import { egressAnnotationProblems } from '../dialects/egress-network.ts';
import { formatProblems } from '../dialects/problem.ts';
import type { EgressNetworks } from './egress-networks.ts';
import { serviceProblems, trafficProblems, type TrafficObjects } from './traffic-objects.ts';

/** What is wrong with objects and no status says: ServiceProfiles, TrafficSplits, annotations of Services and EgressNetworks. */
export class TrafficFindings {
  readonly #found = new Map<string, string>();
  readonly #report: (object: string, problem: string) => void;

  /** @param report  told once of every new problem */
  constructor(
    services: ResourceStore<Service>,
    objects: TrafficObjects,
    egress: EgressNetworks,
    clusterDomain: string,
    report: (object: string, problem: string) => void,
  ) {
    this.#report = report;
    const judge = (next: CustomObject | undefined, previous: CustomObject | undefined): void => {
      const { kind = '', namespace = '', name = '' } = next ?? previous ?? {};
      const problems = next === undefined ? [] : trafficProblems(next, clusterDomain);
      this.#set(`${kind} ${keyOf(namespace, name)}`, formatProblems(problems));
    };
    objects.profiles.onChange(judge);
    objects.splits.onChange(judge);
    egress.store.onChange((next, previous) => {
      const { namespace = '', name = '' } = next ?? previous ?? {};
      const problems = next === undefined ? [] : egressAnnotationProblems(next);
      this.#set(`EgressNetwork ${keyOf(namespace, name)}`, formatProblems(problems));
    });
    services.onChange((next, previous) => {
      const { namespace = '', name = '' } = next ?? previous ?? {};
      const problems = next === undefined ? [] : serviceProblems(next);
      this.#set(`Service ${keyOf(namespace, name)}`, formatProblems(problems));
    });
  }

  /** Objects with a problem. */
  get count(): number {
    return this.#found.size;
  }

  #set(object: string, problem: string): void {
    if (problem === '') {
      this.#found.delete(object);
      return;
    }
    if (this.#found.get(object) === problem) return;
    this.#found.set(object, problem);
    this.#report(object, problem);
  }
}
