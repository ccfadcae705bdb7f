import { isIP } from 'node:net';
import { isRefused, disabledWords, refusalWords } from '../cluster/client-refusal';
import { observePooledDatabase } from '../systems/pgbouncer';
import { clientLogins } from './client-logins';
import { withSession, type ClusterAccess } from './deps';

/** Is the database of clients disabled at the pooler? False also where its console does not say. */
export const isDisabled = (access: ClusterAccess): Promise<boolean> =>
  askConsole(access).then(
    ({ disabled }) => disabled,
    () => false,
  );

/**
 * Why a client would get no answer from a pooler that was started anew either: the primary itself refuses clients, or somebody disabled
 * their database there, which a restart would undo. Never throws.
 * @returns a clause; undefined where neither is known to be so
 */
export async function whyShutOut(access: ClusterAccess, primary: string): Promise<string | undefined> {
  const asked = withSession(access.pooler(), (pooler) => clientLogins(access, pooler, [primary])).then(
    (found) => found.get(primary),
    () => undefined,
  );
  const [client, disabled] = await Promise.all([asked, isDisabled(access)]);
  if (disabled) {
    const { refusal, measured } = disabledWords(access.topology, access.poolerName);
    return `${refusal}: ${measured}`;
  }
  return isRefused(client) ? `${primary} itself refuses clients: ${refusalWords(client)}` : undefined;
}

/**
 * Proves by PgBouncer's own word that its clients are led to a node, where none of them gets in who could tell: its routing file (F4), and
 * the address that PgBouncer has read of it.
 * @param address the node's own, as a direct session tells it; null where that is not known
 * @throws Error where it leads elsewhere, or does not say
 */
export async function requireRoute(access: ClusterAccess, node: string, address: string | null): Promise<void> {
  const wanted = access.internal(node);
  const { route, routeAddress } = await withSession(access.pooler(), (agent) => agent.call('observe', {}));
  const seen = await askConsole(access);
  const routed = route?.host === wanted.host && route.port === wanted.port && seen.port === wanted.port;
  // An agent that is older gives PgBouncer the name.
  const named = seen.host === wanted.host;
  const addressed = isIP(seen.host) !== 0 && seen.host === routeAddress && isAt(seen.host, address);
  if (routed && (named || addressed)) return;
  const file = route === null ? 'nobody' : `${route.host}:${route.port}`;
  throw new Error(
    `F5: ${access.poolerName} leads clients to ${seen.host}:${seen.port}, its routing file to ${file}, and not to ${node} (limit: ${wanted.host}:${wanted.port}${address === null ? '' : `, ${address}`})`,
  );
}

/** `address` is an `inet`, with its mask. */
const isAt = (host: string, address: string | null): boolean => address === null || address.split('/')[0] === host;

const askConsole = (access: ClusterAccess) =>
  observePooledDatabase(access.poolerEndpoint, access.adminLogin(), access.pooledDatabase);
