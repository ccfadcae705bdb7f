import { isSameRefusal, refusalWords, type ClientAtNode } from '../client-refusal';
import { logs, psql } from '../commands';
import type { AnsweringNode } from '../observed';
import type { Checklist } from './checklist';
import { RELOAD } from './replication';

/**
 * SQLSTATEs of a refusal that ends with the promotion, or with the load: what runs at a login and writes fails on a standby
 * (read_only_sql_transaction), so does what runs there as `serializable` (feature_not_supported), and readers may have taken every
 * connection (too_many_connections).
 */
const passing: ReadonlySet<string> = new Set(['25006', '0A000', '53300']);

/**
 * object_not_in_prerequisite_state: what no standby does (pg_current_wal_lsn), a database that is closed on every node, and
 * a library that is loaded only on the primary. The words tell the first, and the source the second.
 */
const AMBIGUOUS = '55000';

const passes = (client: ClientAtNode): boolean =>
  passing.has(client?.code ?? '') || (client?.code === AMBIGUOUS && /\brecovery\b/.test(client.error ?? ''));

/** C10: clients that the pooler sends to the target are let in and can write. Tried by the pooler's agent, as the pooler would. */
export function checkClients(list: Checklist, source: AnsweringNode, target: AnsweringNode): void {
  const says = `${target.name} would let clients in, and take their writes`;
  const { client } = target;
  if (client === undefined) return list.skip('C10', says, 'nobody tried to log in as a client');
  if (client.ok !== true) {
    // Where clients are shut out now already, the move changes nothing for them.
    const same = isSameRefusal(client, source.client);
    list[same || passes(client) ? 'advise' : 'require']('C10', false, {
      says,
      refusal:
        client.ok === null
          ? `the pooler can't reach ${target.name}: clients would reach nobody`
          : `${target.name} refuses clients: they would be shut out`,
      measured: `${refusalWords(client)}${same ? `, as on ${source.name}` : ''}`,
      limit: 'a login from the pooler as its own user',
      next: logs(target.name),
    });
    return;
  }
  // Where clients can't write now either, that is what somebody wants.
  const wanted = source.client?.readOnly === true;
  list[wanted ? 'advise' : 'require']('C10', !client.readOnly, {
    says,
    refusal: `clients could not write on ${target.name}`,
    measured: client.readOnly
      ? `default_transaction_read_only is on for ${client.user}${wanted ? `, as on ${source.name}` : `, and not on ${source.name}`}`
      : `a login as ${client.user} from the pooler; default_transaction_read_only is off`,
    limit: 'off',
    next: psql(target.name, 'ALTER SYSTEM SET default_transaction_read_only = off', RELOAD),
  });
}
