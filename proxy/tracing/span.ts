/** One step of a trace: a request as this proxy has seen it. */
export type Span = {
  readonly traceId: string; // 32 hexadecimal digits
  readonly spanId: string; // 16
  readonly parentId: string; // 16
  readonly state: string; // tracestate of W3C
  readonly kind: 'server' | 'client';
  readonly name: string;
  readonly startMs: number; // Unix, with fractions
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** Why it failed; absent: it did not. */
  readonly error: string | undefined;
};
