/**
 * The DNS and URI names of a certificate, in their order.
 *
 * @param subjectAltName  as Node prints it: `DNS:a, URI:b`. Names with unusual characters are printed in quotes; none of
 *   those is a workload's, so a certificate that has one counts as nameless.
 */
export function identityNames(subjectAltName: string | undefined): readonly string[] {
  if (subjectAltName === undefined || subjectAltName.includes('"')) return [];
  return subjectAltName.split(', ').flatMap((part) => {
    if (part.startsWith('DNS:')) return [part.slice(4)];
    if (part.startsWith('URI:')) return [part.slice(4)];
    return [];
  });
}
