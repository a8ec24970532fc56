// The two parts of node-forge that are used, as they are used. The package's own types know only the whole library, whose import
// costs 20 ms and 7 MB; these two and what they need cost 1 ms and 0.4 MB.

declare module 'node-forge/lib/asn1.js' {
  /** One element. Bytes are strings of characters 0..255; a BMPString's value is its text. */
  export type Asn1Node = {
    readonly tagClass: number; // bits 8 and 7 of the tag
    readonly type: number; // bits 5 to 1
    readonly constructed: boolean; // bit 6
    readonly value: string | readonly Asn1Node[];
  };

  type Bytes = { getBytes(): string };

  const asn1: {
    create(tagClass: number, type: number, constructed: boolean, value: string | readonly Asn1Node[]): Asn1Node;
    fromDer(bytes: string, options: { readonly decodeBitStrings: boolean; readonly maxDepth: number }): Asn1Node;
    toDer(node: Asn1Node): Bytes;
    oidToDer(dotted: string): Bytes;
    derToOid(bytes: string): string;
    integerToDer(value: number): Bytes;
    readonly dateToUtcTime: (date: Date) => string;
    readonly utcTimeToDate: (text: string) => Date;
    readonly dateToGeneralizedTime: (date: Date) => string;
    readonly generalizedTimeToDate: (text: string) => Date;
  };
  export default asn1;
}

declare module 'node-forge/lib/pem.js' {
  type PemMessage = { readonly type: string; readonly body: string };

  const pem: {
    encode(message: PemMessage): string;
    decode(text: string): readonly PemMessage[];
  };
  export default pem;
}
