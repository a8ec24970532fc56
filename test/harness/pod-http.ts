import { request } from 'node:http';
import type { Mesh } from './mesh.ts';

const ANSWER_MS = 120_000;

/**
 * One HTTP request to a port inside a pod, past the mesh (a port-forward through the API server).
 *
 * @returns the JSON of the answer
 * @throws Error  when the status is not 200
 */
export async function askPod(mesh: Mesh, namespace: string, pod: string, port: number, send: object): Promise<unknown> {
  const { path = '/', body } = send as { readonly path?: string; readonly body?: object };
  const stream = await mesh.cluster.portForward(namespace, pod, port);
  return new Promise((resolve, reject) => {
    stream.on('error', reject);
    const sent = request(
      { createConnection: () => stream, method: body === undefined ? 'GET' : 'POST', path, timeout: ANSWER_MS },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => {
          stream.destroy();
          if (response.statusCode === 200) resolve(JSON.parse(text));
          else reject(new Error(`${pod}:${port} answered ${response.statusCode}: ${text}`));
        });
        response.on('error', reject);
      },
    );
    sent.on('timeout', () => sent.destroy(new Error(`${pod}:${port} did not answer within ${ANSWER_MS / 1000} s`)));
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
