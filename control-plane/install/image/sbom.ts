import type { DebianPackage } from './debian-libraries.ts';

export type NpmComponent = { readonly name: string; readonly version: string; readonly license: string };

/**
 * What an image is made of, in CycloneDX 1.6 (JSON). No time and no serial number, so that equal images have equal lists.
 *
 * @param npm     packages whose code is in the bundles, and the Node that runs them
 * @param debian  packages whose libraries are in the image
 */
export function softwareBill(
  name: string,
  version: string,
  npm: readonly NpmComponent[],
  debian: readonly DebianPackage[],
): object {
  const components = [
    ...npm.map((one) => ({
      type: 'library',
      name: one.name,
      version: one.version,
      purl: `pkg:npm/${one.name.replace('@', '%40')}@${one.version}`,
      ...(one.license === 'NOASSERTION' ? {} : { licenses: [{ expression: one.license }] }),
    })),
    ...debian.map((one) => ({
      type: 'library',
      name: one.name,
      version: one.version,
      purl: `pkg:deb/debian/${one.name}@${encodeURIComponent(one.version)}?arch=${one.architecture}`,
    })),
  ];
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { component: { type: 'container', name, version } },
    components: components
      .map((component) => ({ 'bom-ref': component.purl, ...component }))
      .sort((a, b) => (a.purl < b.purl ? -1 : 1)),
  };
}
