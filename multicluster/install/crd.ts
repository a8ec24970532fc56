import type { Manifest } from '../../control-plane/install/manifest.ts';

const text = { type: 'string' };
const flag = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
const selector = {
  type: 'object',
  properties: {
    matchLabels: { type: 'object', additionalProperties: text },
    matchExpressions: {
      type: 'array',
      items: {
        type: 'object',
        required: ['key', 'operator'],
        properties: {
          key: text,
          operator: { type: 'string', enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'] },
          values: { type: 'array', items: text },
        },
      },
    },
  },
};
const condition = {
  type: 'object',
  required: ['type', 'status'],
  properties: { type: text, status: text, reason: text, message: text, lastTransitionTime: text },
};

/** The kind `Link`: another cluster whose exported Services are mirrored here. Source: linkerd2 `link-crd.yaml`. */
export function linkCrd(): Manifest {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'links.multicluster.linkerd.io', labels: { 'linkerd.io/extension': 'multicluster' } },
    spec: {
      group: 'multicluster.linkerd.io',
      names: { plural: 'links', singular: 'link', kind: 'Link', listKind: 'LinkList' },
      scope: 'Namespaced',
      versions: [
        {
          name: 'v1alpha2',
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: {
            openAPIV3Schema: {
              type: 'object',
              required: ['spec'],
              properties: {
                apiVersion: text,
                kind: text,
                metadata: { type: 'object' },
                spec: {
                  type: 'object',
                  required: ['targetClusterName', 'clusterCredentialsSecret'],
                  properties: {
                    targetClusterName: text,
                    targetClusterDomain: text,
                    targetClusterLinkerdNamespace: text,
                    clusterCredentialsSecret: text,
                    gatewayAddress: text,
                    gatewayPort: text,
                    gatewayIdentity: text,
                    probeSpec: {
                      type: 'object',
                      properties: { path: text, port: text, period: text, timeout: text, failureThreshold: text },
                    },
                    selector,
                    remoteDiscoverySelector: selector,
                    federatedServiceSelector: selector,
                  },
                },
                status: {
                  type: 'object',
                  properties: {
                    conditions: { type: 'array', items: condition },
                    mirrorServices: { type: 'array', items: flag },
                    federatedServices: { type: 'array', items: flag },
                  },
                },
              },
            },
          },
        },
      ],
    },
  };
}
