import type { User } from './user.ts';

export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

/** How a write is to be done, from the query and the headers of its request. */
export type WriteOptions = {
  readonly user: User;
  readonly isDryRun: boolean;
  readonly fieldManager: string; // never empty
  readonly fieldValidation: FieldValidation;
  /** A server-side apply: who owns which fields is worked out already. */
  readonly isApply?: boolean;
  /** A warning for the person who made the request; kubectl prints it. */
  readonly warn: (text: string) => void;
};

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
