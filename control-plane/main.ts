// All of the control plane in one process, for `tulle install --tiny`: each part with its own ports, as if it ran by itself.
import { Registry } from 'prom-client';
import { CONTROL_PLANE } from '#config/names.ts';
import { findConnection } from '#k8s/connection.ts';
import { startAdmin } from '#runtime/admin.ts';
import { EnvironmentError, EnvironmentReader } from '#runtime/environment.ts';
import { createLogger } from '#runtime/log.ts';
import { onShutdown } from '#runtime/shutdown.ts';
import { readConfig } from '../injector/config.ts';
import { startInjector } from '../injector/process.ts';
import { readDestinationConfig } from './destination/config.ts';
import { startDestination } from './destination/process.ts';
import { readIdentityConfig } from './identity/config.ts';
import { startIdentity } from './identity/process.ts';

const EXIT_CONFIGURATION = 64;
const ADMIN_PORT = 9994; // ready when all parts are

type Environment = Readonly<Record<string, string | undefined>>;

function readSettings(environment: Environment): {
  readonly identity: ReturnType<typeof readIdentityConfig>;
  readonly destination: ReturnType<typeof readDestinationConfig>;
  readonly injector: ReturnType<typeof readConfig>;
  readonly adminPort: number;
} {
  const env = new EnvironmentReader(environment);
  const adminPort = env.port('TULLE_CONTROL_PLANE_ADMIN_PORT', ADMIN_PORT);
  env.check();
  if (env.optional('TULLE_ADMIN_PORT') !== undefined)
    throw new EnvironmentError('TULLE_ADMIN_PORT is set: every part needs an admin port of its own, leave it out');
  return {
    identity: { ...readIdentityConfig(environment), deployment: CONTROL_PLANE },
    destination: readDestinationConfig(environment),
    injector: readConfig(environment),
    adminPort,
  };
}

async function main(): Promise<void> {
  const log = createLogger('control-plane');
  let settings;
  try {
    settings = readSettings(process.env);
  } catch (error) {
    log.fatal(error instanceof Error ? error.message : String(error));
    process.exit(EXIT_CONFIGURATION);
  }
  try {
    const level = settings.injector.logLevel;
    const connection = await findConnection(settings.identity.kubernetes);
    const identity = await startIdentity(settings.identity, connection, createLogger('identity', level));
    const destination = await startDestination(settings.destination, connection, createLogger('destination', level));
    const injector = await startInjector(settings.injector, createLogger('injector', level));
    const parts = Object.entries({ identity, destination, injector });
    const notReady = (): readonly string[] =>
      parts.flatMap(([name, part]) => part.notReady().map((reason) => `${name}: ${reason}`));
    const admin = await startAdmin({ port: settings.adminPort, registry: new Registry(), notReady });
    onShutdown(log, settings.identity.shutdownGraceMs, async () => {
      await Promise.all(parts.map(([, part]) => part.stop()));
      admin.close();
    });
    await Promise.all([identity.port, destination.ports]);
  } catch (error) {
    log.fatal({ err: error }, 'cannot start');
    process.exit(1);
  }
}

void main();
