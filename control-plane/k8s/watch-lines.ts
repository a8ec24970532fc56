import { KubeError } from './kube-error.ts';

/** One object of Kubernetes is at most a few MiB. */
const LINE_BYTES_MAX = 32 * 1024 * 1024;

/**
 * Splits a stream into lines. What follows the last line end is dropped: the connection broke in the middle of it.
 *
 * @throws KubeError  when a line is too long, and whatever the stream fails with
 */
export async function* readLines(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      parts.push(chunk.subarray(start, end));
      const line = Buffer.concat(parts).toString('utf8').trim();
      parts = [];
      bytes = 0;
      start = end + 1;
      if (line !== '') yield line;
    }
    if (start < chunk.length) {
      parts.push(chunk.subarray(start));
      bytes += chunk.length - start;
      if (bytes > LINE_BYTES_MAX) {
        throw new KubeError(`the watch sent a line of more than ${LINE_BYTES_MAX} bytes`, {
          status: 410,
          reason: 'InvalidAnswer',
        });
      }
    }
  }
}
