import {
  CONFIG_MAP,
  INJECTOR,
  INJECTOR_CERTIFICATE_SECRET,
  INJECTOR_PORT,
  POLICY_WEBHOOK_CONFIGURATION,
  REPAIR_LEASE,
  TRUST_ROOTS_CONFIG_MAP,
  WEBHOOK_CONFIGURATION,
} from '#config/names.ts';
import type { Values } from '#config/values.ts';
import { createdBy, objectLabels, type Manifest } from '../manifest.ts';
import { service, type Component } from './workload.ts';

const PROCESS = 'injector';

export function injectorComponent(values: Values): Component {
  return {
    process: PROCESS,
    name: INJECTOR,
    ports: [{ name: 'https', port: INJECTOR_PORT }],
    adminPort: 9995,
    services: [
      service(
        values,
        { process: PROCESS },
        { name: INJECTOR, isHeadless: false, port: 443, portName: 'https', targetPort: 'https' },
      ),
    ],
    clusterRules: [
      { apiGroups: [''], resources: ['namespaces'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: [''], resources: ['events'], verbs: ['create'] },
      { apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch'] },
      ...(values.repair.enabled ? [{ apiGroups: [''], resources: ['pods/eviction'], verbs: ['create'] }] : []),
      {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['mutatingwebhookconfigurations'],
        resourceNames: [WEBHOOK_CONFIGURATION],
        verbs: ['get', 'patch'],
      },
      {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['validatingwebhookconfigurations'],
        resourceNames: [POLICY_WEBHOOK_CONFIGURATION],
        verbs: ['get', 'patch'],
      },
    ],
    namespaceRules: [
      {
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: [TRUST_ROOTS_CONFIG_MAP],
        verbs: ['list', 'watch'],
      },
      { apiGroups: [''], resources: ['secrets'], verbs: ['create'] },
      {
        apiGroups: [''],
        resources: ['secrets'],
        resourceNames: [INJECTOR_CERTIFICATE_SECRET],
        verbs: ['get', 'update'],
      },
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
      {
        apiGroups: ['coordination.k8s.io'],
        resources: ['leases'],
        resourceNames: [REPAIR_LEASE],
        verbs: ['get', 'update'],
      },
    ],
    env: [{ name: 'TULLE_VALUES_FILE', value: `/etc/tulle/${CONFIG_MAP}/values` }],
    configMaps: [CONFIG_MAP],
    hasIdentityToken: false,
  };
}

/** The webhooks that the injector serves. */
export function webhookManifests(values: Values): readonly Manifest[] {
  return [webhookConfiguration(values), policyWebhookConfiguration(values)];
}

/** The caBundle is absent on purpose: the injector makes its certificate in the cluster and writes the bundle itself. */
function webhookConfiguration(values: Values): Manifest {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: WEBHOOK_CONFIGURATION, labels: objectLabels(values, PROCESS), annotations: createdBy(values) },
    webhooks: [
      {
        name: 'injector.tulle.dev',
        clientConfig: { service: { name: INJECTOR, namespace: values.namespace, path: '/', port: 443 } },
        rules: [
          {
            operations: ['CREATE'],
            apiGroups: [''],
            apiVersions: ['v1'],
            resources: ['pods', 'services'],
            scope: 'Namespaced',
          },
        ],
        namespaceSelector: {
          matchExpressions: [
            { key: 'config.linkerd.io/admission-webhooks', operator: 'NotIn', values: ['disabled'] },
            {
              key: 'kubernetes.io/metadata.name',
              operator: 'NotIn',
              values: ['kube-system', 'kube-node-lease', 'cert-manager'],
            },
          ],
        },
        admissionReviewVersions: ['v1'],
        sideEffects: 'NoneOnDryRun',
        failurePolicy: values.webhookFailurePolicy,
        timeoutSeconds: 5,
      },
    ],
  };
}

/**
 * The injector serves it: it has the certificate, the Service and the right to write a caBundle, which another process would
 * need a second time. Whatever it cannot judge is admitted: the destination process reads every object with the same care.
 */
function policyWebhookConfiguration(values: Values): Manifest {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: {
      name: POLICY_WEBHOOK_CONFIGURATION,
      labels: objectLabels(values, PROCESS),
      annotations: createdBy(values),
    },
    webhooks: [
      {
        name: 'policy-validator.tulle.dev',
        clientConfig: { service: { name: INJECTOR, namespace: values.namespace, path: '/policy', port: 443 } },
        rules: [
          {
            operations: ['CREATE', 'UPDATE'],
            apiGroups: ['policy.linkerd.io'],
            apiVersions: ['*'],
            resources: [
              'authorizationpolicies',
              'egressnetworks',
              'httplocalratelimitpolicies',
              'httproutes',
              'meshtlsauthentications',
              'networkauthentications',
              'serverauthorizations',
              'servers',
            ],
            scope: 'Namespaced',
          },
          {
            operations: ['CREATE', 'UPDATE'],
            apiGroups: ['gateway.networking.k8s.io'],
            apiVersions: ['*'],
            resources: ['httproutes', 'grpcroutes', 'tlsroutes', 'tcproutes'],
            scope: 'Namespaced',
          },
          {
            operations: ['CREATE', 'UPDATE'],
            apiGroups: ['linkerd.io'],
            apiVersions: ['*'],
            resources: ['serviceprofiles'],
            scope: 'Namespaced',
          },
          {
            operations: ['CREATE', 'UPDATE'],
            apiGroups: ['workload.linkerd.io'],
            apiVersions: ['*'],
            resources: ['externalworkloads'],
            scope: 'Namespaced',
          },
          {
            operations: ['CREATE', 'UPDATE'],
            apiGroups: ['split.smi-spec.io'],
            apiVersions: ['*'],
            resources: ['trafficsplits'],
            scope: 'Namespaced',
          },
        ],
        namespaceSelector: {
          matchExpressions: [{ key: 'config.linkerd.io/admission-webhooks', operator: 'NotIn', values: ['disabled'] }],
        },
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Ignore',
        timeoutSeconds: 5,
      },
    ],
  };
}
