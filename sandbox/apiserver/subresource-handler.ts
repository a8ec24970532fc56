import type { Answer, ApiCall } from './api-call.ts';
import { notImplemented } from './status-error.ts';
import type { ObjectTarget } from './writer.ts';

export class SubresourceHandler {
  async handle(call: ApiCall, target: ObjectTarget): Promise<Answer> {
    void call;
    throw notImplemented(`the subresource ${target.subresource}`);
  }
}
