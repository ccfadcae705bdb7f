import { refusalSentence } from '../../cluster/check';
import { clusterStatus } from '../../cluster/commands';
import { isOfLedgersSystem } from '../../cluster/failover/repair-system';
import type { Ledger } from '../../cluster/guard/ledger';
import { isNamed, type NamingLedger } from '../../cluster/guard/named-nodes';
import { copyLock } from '../../cluster/locks';
import { Checklist } from '../../cluster/switchover/checklist';
import type { Token } from '../../systems/agent';
import { claimPatiently, type Claimable } from '../claim';
import { finalFailure } from '../context';
import { withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { stillAsked, unlessLeft } from '../give-way';
import { recoveryOf, type PostgresSession } from '../../systems/postgres';

/** A part of a repair. Names and numbers only. */
export interface RepairRequest {
  cluster: string;
  /** The name under which agents know this round of the run: each round has its own. */
  run: string;
  /** Which part of the round it is, from 0. */
  turn: number;
}

/** A run that is over may have left a dead-man switch armed: its agent is busy until that has acted. In milliseconds. */
const BUSY_LIMIT_MS = 15_000;

/** Takes a node, as {@link claimPatiently} does, for as long as a dead-man switch may need, unless the run gives way. */
export function take(agent: Claimable, token: Token): Promise<void> {
  stillAsked();
  return unlessLeft(claimPatiently(agent, token, BUSY_LIMIT_MS));
}

/**
 * The nodes that should be there: those with a container, those that the topology does not call optional, and those that the guard's ledger
 * names, which may have what nobody else has.
 * @param ledger absent where nothing follows from a node's silence
 */
export async function presentNodeNames(
  deps: ActivityDeps,
  access: ClusterAccess,
  ledger: NamingLedger | null = null,
): Promise<string[]> {
  const present = await Promise.all(
    access.topology.postgres.nodes.map(
      async ({ name, optional }) => !optional || isNamed(ledger, name) || (await deps.docker.inspect(name)).exists,
    ),
  );
  return access.topology.postgres.nodes.map(({ name }) => name).filter((_name, index) => present[index]);
}

/** The nodes that a repair may take: one whose data is copied stays with the run that has it copied. */
export async function takeableNodeNames(deps: ActivityDeps, access: ClusterAccess): Promise<string[]> {
  const present = await presentNodeNames(deps, access);
  const copied = await Promise.all(present.map((node) => deps.lockHolder(access.name, copyLock(node))));
  return present.filter((_node, index) => copied[index] === undefined);
}

/** Both kinds of agent, as far as they are asked here. */
export const everyAgent = (access: ClusterAccess, nodes: readonly string[]): Promise<Claimable>[] => [
  ...nodes.map((name) => access.agent(name) as Promise<Claimable>),
  access.pooler(),
];

/**
 * A3 and A4: proof that this node takes writes, asked directly, and is of the database system of the guard's ledger. It may have been made
 * anew since the repair looked: then clients would be led to a node that has none of their rows. Without a ledger nothing is known of that.
 * @throws Error when it takes none, or gives no answer; ApplicationFailure `Refused` when it is of another system
 */
export async function requirePrimary(deps: ActivityDeps, access: ClusterAccess, primary: string): Promise<void> {
  const [{ inRecovery, system }, ledger] = await Promise.all([
    withSession(access.sql(primary, 3000), async (session) => ({
      ...(await recoveryOf(session)),
      system: await systemOf(session),
    })),
    ledgerOf(deps, access),
  ]);
  if (inRecovery) throw new Error(`${primary} is no primary: it is in recovery`);
  requireLedgersSystem(access, ledger, primary, system, 'takes writes');
}

/**
 * A3 and A4: proof that exactly one node takes writes, each asked directly, and that it is of the database system of the guard's ledger.
 * Whoever gives no answer takes none, unless its agent says that it runs and is in production: it may answer the pooler.
 * @param what what is not done without it, for the refusal: "veloz-pgbouncer is not started"
 * @throws Error when nobody takes writes; ApplicationFailure `Refused` when several do, or one of another system
 */
export async function requireOnePrimary(deps: ActivityDeps, access: ClusterAccess, what: string): Promise<void> {
  const names = await presentNodeNames(deps, access);
  const runsAsPrimary = (name: string): Promise<boolean> =>
    withSession(access.agent(name), (agent) => agent.call('observe', {}, 2000)).then(
      ({ postgres, control }) => postgres.state === 'running' && control?.state === 'in production',
      () => false,
    );
  const takesWrites = (name: string): Promise<boolean> =>
    withSession(access.sql(name, 3000), recoveryOf).then(
      ({ inRecovery }) => !inRecovery,
      () => runsAsPrimary(name),
    );
  const answers = await Promise.all(names.map(takesWrites));
  const writable = names.filter((_name, index) => answers[index]);
  const [only, another] = writable;
  if (only === undefined) throw new Error(`A2: ${what}: no node takes writes`);
  if (another !== undefined)
    throw finalFailure(
      'Refused',
      `A3: ${what}: ${writable.join(' and ')} take writes, or run as primaries (limit: exactly 1 before clients are let in). Next: ${clusterStatus(access.name)}`,
    );
  await requirePrimary(deps, access, only);
}

/** The guard's ledger; undefined without a guard, and where it can't be asked. */
export const ledgerOf = (deps: ActivityDeps, access: ClusterAccess): Promise<Ledger | undefined> =>
  Promise.resolve(deps.guardState?.(access.name)).then(
    (state) => state?.ledger,
    () => undefined,
  );

/**
 * A4.
 * @param role what the node does, or would be, for the refusal: "takes writes"
 * @throws ApplicationFailure `Refused` when a node is of another database system than the ledger
 */
export function requireLedgersSystem(
  access: ClusterAccess,
  ledger: Ledger | undefined,
  name: string,
  systemIdentifier: string | undefined,
  role: string,
): void {
  if (ledger === undefined || systemIdentifier === undefined) return;
  const list = new Checklist();
  if (isOfLedgersSystem(list, { cluster: access.name, name, systemIdentifier, ledger, role })) return;
  throw finalFailure('Refused', refusalSentence(list.checks) ?? '', { checks: list.checks });
}

async function systemOf(session: PostgresSession): Promise<string | undefined> {
  const [row] = await session.query<{ system: string }>(
    `SELECT CAST(system_identifier AS text) AS system FROM pg_control_system()`,
  );
  return row?.system;
}
