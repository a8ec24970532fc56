// The service-mirror process: mirrors exported Services of linked clusters.
import { findConnection } from '#k8s/connection.ts';
import { EnvironmentError, EnvironmentReader } from '#runtime/environment.ts';
import { createLogger } from '#runtime/log.ts';
import { onShutdown } from '#runtime/shutdown.ts';
import { SERVICE_MIRROR_ADMIN_PORT } from './names.ts';
import { startServiceMirror } from './service-mirror/process.ts';

const EXIT_USAGE = 64;
const SHUTDOWN_MS = 5000;

async function main(): Promise<void> {
  const log = createLogger('service-mirror');
  try {
    const env = new EnvironmentReader(process.env);
    const adminPort = env.port('TULLE_ADMIN_PORT', SERVICE_MIRROR_ADMIN_PORT);
    const controlNamespace = env.text('TULLE_CONTROL_NAMESPACE', 'tulle');
    const kubeconfig = env.optional('KUBECONFIG');
    const serviceHost = env.optional('KUBERNETES_SERVICE_HOST');
    const servicePort = env.optional('KUBERNETES_SERVICE_PORT');
    const level = env.logLevel('TULLE_LOG_LEVEL');
    env.check();
    log.level = level;
    const connection = await findConnection({
      ...(kubeconfig !== undefined && { kubeconfig }),
      ...(serviceHost !== undefined && { serviceHost }),
      ...(servicePort !== undefined && { servicePort }),
    });
    const running = await startServiceMirror({ adminPort, controlNamespace }, connection, log);
    onShutdown(log, SHUTDOWN_MS, running.stop);
  } catch (error) {
    if (error instanceof EnvironmentError) {
      log.fatal(error.message);
      process.exit(EXIT_USAGE);
    }
    log.fatal({ err: error }, 'cannot start');
    process.exit(1);
  }
}

void main();
