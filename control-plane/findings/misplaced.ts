/** What is only read from a Service or a route. */
const SERVICE_ONLY = /^(retry|timeout|balancer)(\.alpha)?\.linkerd\.io\//;
/** What is read as an annotation, and means nothing as a label. */
const ANNOTATION_ONLY = /^(config\.(alpha\.)?linkerd\.io\/|linkerd\.io\/inject$)/;
const OPAQUE_PORTS = 'config.linkerd.io/opaque-ports';
/** Of namespaces: switches webhooks off, and is a label. */
const WEBHOOKS_LABEL = 'config.linkerd.io/admission-webhooks';

/** Whether an annotation is of Services or routes only. */
export function isServiceSetting(annotation: string): boolean {
  return SERVICE_ONLY.test(annotation);
}

/** Whether an annotation of a Service is one that only namespaces and pods have. */
export function isMisplacedOnService(annotation: string): boolean {
  return ANNOTATION_ONLY.test(annotation) && annotation !== OPAQUE_PORTS;
}

/** Whether a label would have an effect as an annotation. */
export function isConfigurationLabel(label: string): boolean {
  return ANNOTATION_ONLY.test(label) && label !== WEBHOOKS_LABEL;
}
