/** The Service that the client of the bench asks, and where its control plane is. */
export const SERVICE_IP = '10.96.0.7';
export const SERVICE_HOST = 'web.shop.svc.cluster.local';
export const SERVICE_PORTS = { http: 80, http2: 82, opaque: 84, grpc: 86 } as const;
export const CONTROL_PORT = 9443;
