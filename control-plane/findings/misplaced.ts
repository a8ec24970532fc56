/** What is read as an annotation, and means nothing as a label. */
const ANNOTATION_ONLY = /^(config\.(alpha\.)?linkerd\.io\/|linkerd\.io\/inject$)/;
/** Of namespaces: switches webhooks off, and is a label. */
const WEBHOOKS_LABEL = 'config.linkerd.io/admission-webhooks';

/** Whether a label would have an effect as an annotation. */
export function isConfigurationLabel(label: string): boolean {
  return ANNOTATION_ONLY.test(label) && label !== WEBHOOKS_LABEL;
}
