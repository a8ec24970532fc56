import type { Answer, ApiCall } from './api-call.ts';
import type { ResourceTarget } from './request-target.ts';
import { notImplemented } from './status-error.ts';

export class ReviewHandler {
  async handle(call: ApiCall, target: ResourceTarget): Promise<Answer> {
    void call;
    throw notImplemented(target.type.plural);
  }
}
