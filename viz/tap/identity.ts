import { requestCertificate } from '../../control-plane/destination/certify-client.ts';
import { OwnCertificate } from '../../control-plane/destination/own-certificate.ts';
import { controlAddresses, IDENTITY, TRUST_ROOTS_CONFIG_MAP, TRUST_ROOTS_KEY } from '#config/names.ts';
import type { KubeClient } from '#k8s/client.ts';
import { Informer } from '#k8s/informer.ts';
import { ResourceStore } from '#k8s/resource-store.ts';
import { CONFIG_MAPS, type ConfigMap } from '#k8s/resources/config-map.ts';
import { workloadIdentity } from '#pki/names.ts';
import { systemClock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import type { TapIdentity } from './observe.ts';

export type TapIdentityOptions = {
  readonly client: KubeClient;
  readonly log: Logger;
  readonly controlNamespace: string;
  readonly trustDomain: string;
  readonly clusterDomain: string;
  readonly serviceAccount: string; // `name.namespace`, as proxies are told who may tap
  readonly tokenFile: string;
};

/** The certificate that this process taps with, got from the identity process like a proxy gets its own. */
export class TapCertificate implements Disposable {
  readonly #certificate: OwnCertificate;
  readonly #informer: Informer<ConfigMap>;
  #identity: TapIdentity | undefined;

  constructor(options: TapIdentityOptions) {
    const { client, log, controlNamespace: namespace, tokenFile } = options;
    const domain = { controlPlaneNamespace: namespace, trustDomain: options.trustDomain };
    const [name = '', ownNamespace = ''] = options.serviceAccount.split('.');
    const roots = new ResourceStore<ConfigMap>();
    const fieldSelector = `metadata.name=${TRUST_ROOTS_CONFIG_MAP}`;
    this.#informer = new Informer({ client, kind: CONFIG_MAPS, index: roots, namespace, fieldSelector });
    const server = {
      address: controlAddresses({
        namespace,
        clusterDomain: options.clusterDomain,
        identityTrustDomain: options.trustDomain,
      }).identity,
      serverName: workloadIdentity({ namespace, name: IDENTITY }, domain),
    };
    this.#certificate = new OwnCertificate({
      identity: workloadIdentity({ namespace: ownNamespace, name }, domain),
      tokenFile,
      anchors: () => roots.get(namespace, TRUST_ROOTS_CONFIG_MAP)?.data[TRUST_ROOTS_KEY],
      request: (anchorsPem, request) => requestCertificate(server, anchorsPem, request),
      clock: systemClock,
      log,
      observe: () => undefined,
      apply: (identity) => {
        this.#identity = identity;
      },
    });
    roots.onChange(() => this.#certificate.check());
    this.#informer.start();
    this.#certificate.start();
  }

  /** The certificate, or why there is none. */
  get current(): TapIdentity | string {
    return this.#certificate.problem ?? this.#identity ?? 'no certificate yet';
  }

  [Symbol.dispose](): void {
    this.#informer[Symbol.dispose]();
    this.#certificate[Symbol.dispose]();
  }
}
