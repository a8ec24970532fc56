import { stringify } from 'yaml';
import { CONFIG_MAP } from '#config/names.ts';
import { difference } from '#config/overlay.ts';
import { defaultValues, type Values } from '#config/values.ts';
import { createdBy, objectLabels, type Manifest } from '../manifest.ts';

export function namespaceManifest(values: Values): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: values.namespace,
      labels: {
        ...objectLabels(values),
        'linkerd.io/is-control-plane': 'true',
        // The injector must never be asked about its own namespace, or it could keep itself from starting.
        'config.linkerd.io/admission-webhooks': 'disabled',
        'pod-security.kubernetes.io/enforce': 'restricted',
      },
      annotations: { ...createdBy(values), 'linkerd.io/inject': 'disabled' },
    },
  };
}

/**
 * The effective values, for the injector, `tulle check` and people, and beside them only those that somebody chose, for
 * `tulle upgrade`. They hold no secret.
 */
export function configManifest(values: Values): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: CONFIG_MAP,
      namespace: values.namespace,
      labels: objectLabels(values),
      annotations: createdBy(values),
    },
    data: {
      values: stringify(values, { lineWidth: 0 }),
      overrides: stringify(difference(defaultValues(values.version), values), { lineWidth: 0 }),
    },
  };
}
