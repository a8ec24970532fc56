import { Client, credentials, status } from '@grpc/grpc-js';

import type { CheckResult } from './probe-check.ts';

/** `grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING`. */
const SERVING = 1;
const STATUS_NAMES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

/**
 * Asks the gRPC health service. The two messages have one field each, so they are written by hand.
 * Source: grpc health/v1/health.proto.
 */
export async function checkGrpcHealth(address: string, service: string, timeoutMs: number): Promise<CheckResult> {
  const client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  const { promise, resolve } = Promise.withResolvers<CheckResult>();
  client.makeUnaryRequest(
    '/grpc.health.v1.Health/Check',
    (name: string) => encodeRequest(name),
    decodeStatus,
    service,
    { deadline: Date.now() + timeoutMs },
    (error, answer) => {
      if (error === null && answer === SERVING) resolve({ isHealthy: true });
      else if (error === null) {
        const name = STATUS_NAMES[answer ?? 0] ?? String(answer);
        resolve({ isHealthy: false, message: `service unhealthy (responded with "${name}")` });
      } else if (error.code === status.DEADLINE_EXCEEDED) {
        resolve({
          isHealthy: false,
          message: `timeout: failed to connect service "${address}" within ${timeoutMs / 1000}s`,
        });
      } else resolve({ isHealthy: false, message: `error: health rpc probe failed: ${error.details}` });
    },
  );
  const result = await promise;
  client.close();
  return result;
}

/** HealthCheckRequest: field 1, a string. Names of services are shorter than 128 bytes in the one-byte length. */
function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service).subarray(0, 127);
  return name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.of(0x0a, name.length), name]);
}

/** HealthCheckResponse: field 1, an enum; absent means UNKNOWN (0). */
function decodeStatus(bytes: Buffer): number {
  return bytes.length >= 2 && bytes[0] === 0x08 ? (bytes[1] ?? 0) : 0;
}
