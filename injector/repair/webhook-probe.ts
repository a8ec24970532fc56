import { request } from 'node:https';
import { asObject } from '#k8s/json.ts';

const TIMEOUT_MS = 5_000;
const ANSWER_BYTES_MAX = 64 * 1024;
const UID = 'webhook-probe';

/**
 * Asks the webhook about nothing in particular, as the API server asks it: by its Service, with the certificate authority
 * that the API server was given.
 *
 * @param host        DNS name of the Service
 * @param serverName  name in the certificate
 * @throws Error  that says why the webhook does not answer
 */
export async function probeWebhook(host: string, serverName: string, caPem: string): Promise<void> {
  const review = { request: { uid: UID, kind: { group: '', kind: 'Pod' }, operation: 'CONNECT', dryRun: true } };
  const body = JSON.stringify(review);
  const answer = await new Promise<string>((resolve, reject) => {
    const options = {
      host,
      port: 443,
      servername: serverName,
      ca: caPem,
      method: 'POST',
      path: '/',
      agent: false,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    } as const;
    const outgoing = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > ANSWER_BYTES_MAX) response.destroy(new Error('the answer is too long'));
      });
      response.on('end', () => {
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`status ${response.statusCode}: ${text.slice(0, 200)}`));
      });
      response.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
  const { uid, allowed } = asObject(asObject(JSON.parse(answer))['response']);
  if (uid !== UID || allowed !== true) throw new Error(`not an answer of the webhook: ${answer.slice(0, 200)}`);
}
