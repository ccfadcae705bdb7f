import { shippedSecrets, shippedSecretsHint } from '../../src/systems/shipped-secrets';
import { clusterTopology } from '../cluster/support/picture';

const own = {
  VELOZ_PG_PASSWORD: 'a',
  VELOZ_PG_HA_PASSWORD: 'b',
  VELOZ_PG_REPL_PASSWORD: 'c',
  VELOZ_PGBOUNCER_ADMIN_PASSWORD: 'd',
};

describe('secrets that everybody knows', () => {
  test('are told by their names in one line, and never with a value', () => {
    expect(shippedSecrets(clusterTopology(), {})).toEqual([
      'VELOZ_PG_PASSWORD',
      'VELOZ_PG_HA_PASSWORD',
      'VELOZ_PG_REPL_PASSWORD',
      'VELOZ_PGBOUNCER_ADMIN_PASSWORD',
    ]);
    const hint = shippedSecretsHint(clusterTopology(), {});
    expect(hint?.says).toBe('shipped passwords that everybody knows are in use: VELOZ_PG_PASSWORD and 3 more');
    expect(JSON.stringify(hint)).not.toMatch(/replicator|pgbouncer_admin/);
  });

  test('are no news where each was set; one that was set to what is shipped is', () => {
    expect(shippedSecretsHint(clusterTopology(), own)).toBeUndefined();
    expect(shippedSecrets(clusterTopology(), { ...own, VELOZ_PG_REPL_PASSWORD: 'replicator' })).toEqual([
      'VELOZ_PG_REPL_PASSWORD',
    ]);
  });

  test('are not looked for where a file can not be read, or where the names are not those of the stack', () => {
    const cluster = clusterTopology();
    expect(shippedSecrets(cluster, { ...own, VELOZ_PG_PASSWORD_FILE: '/nowhere' })).toEqual([]);
    const { postgres, pgbouncer } = cluster;
    const named = (user: string) => ({ user, passwordFrom: 'LEDGER_PASSWORD' });
    const other = {
      ...cluster,
      postgres: { ...postgres, client: named('ledger'), control: { ...postgres.control, ...named('ha') } },
      pgbouncer: { ...pgbouncer, admin: named('admin') },
    };
    expect(shippedSecrets(other, { LEDGER_PASSWORD: 'veloz' })).toEqual([]);
  });
});
