import { credentials, Metadata } from '@grpc/grpc-js';
import { IdentityClient, type CertifyRequest, type CertifyResponse } from '#api/gen/identity.ts';

/** Where the identity process is, and what its certificate must say. */
export type IdentityServerAddress = { readonly address: string; readonly serverName: string };

const DEADLINE_MS = 10_000;

/**
 * Asks the identity process for a certificate, on a connection of its own: renewals are rare, and a connection that is
 * kept for hours may lead to a replica that is gone.
 *
 * @param anchorsPem  what the identity process's certificate must chain to
 * @throws ServiceError  of grpc-js
 */
export async function requestCertificate(
  server: IdentityServerAddress,
  anchorsPem: string,
  request: CertifyRequest,
): Promise<CertifyResponse> {
  const client = new IdentityClient(server.address, credentials.createSsl(Buffer.from(anchorsPem)), {
    'grpc.ssl_target_name_override': server.serverName,
    'grpc.default_authority': server.serverName,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.use_local_subchannel_pool': 1,
  });
  try {
    return await new Promise<CertifyResponse>((resolve, reject) => {
      const options = { deadline: Date.now() + DEADLINE_MS };
      client.certify(request, new Metadata(), options, (error, response) => {
        if (error) reject(error);
        else resolve(response);
      });
    });
  } finally {
    client.close();
  }
}
