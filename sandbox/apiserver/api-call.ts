import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { User } from './user.ts';

/** One request over HTTP, authenticated and authorized. */
export type ApiCall = {
  readonly method: string;
  readonly path: string; // without query
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer | undefined;
  readonly user: User;
  readonly response: ServerResponse; // only for answers that are streams
  readonly warn: (text: string) => void;
};

/** What goes back: a JSON value, a finished text, or nothing because the handler has taken over the response. */
export type Answer =
  | { readonly kind: 'json'; readonly status: number; readonly body: unknown }
  | {
      readonly kind: 'text';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: string;
    }
  | { readonly kind: 'taken' };

export const taken: Answer = { kind: 'taken' };

export function json(status: number, body: unknown): Answer {
  return { kind: 'json', status, body };
}

export function plainText(status: number, body: string): Answer {
  return { kind: 'text', status, headers: { 'content-type': 'text/plain; charset=utf-8' }, body };
}
