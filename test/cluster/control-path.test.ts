import { healthFindings } from '../../src/cluster/health';
import { letIn } from '../../src/cluster/control-path';
import { primary, standby } from './support/objects';
import { clusterTopology, picture, PRIMARY, STANDBY, type Picture } from './support/picture';

const whole = { database: 'veloz_ha', connectionLimit: -1, databaseConnectionLimit: -1, validForMs: null };
/** What status tells of the control path, of one that is well but for a change. */
function told(change: (seen: Picture) => void): string[] {
  const seen = picture();
  primary(seen).sql.control = { ...whole };
  standby(seen).sql.control = { ...whole };
  change(seen);
  return healthFindings(seen.topology, seen.observed).map(
    ({ id, result, says, measured, next }) => `${id} ${result}: ${says}; ${measured}; ${next}`,
  );
}

describe('the control path', () => {
  it('has nothing to tell while the role has its rights, its database, and no limits', () => {
    expect(told(() => undefined)).toEqual([]);
  });

  it('is not healthy without a right that a failover will need, and names the statement', () => {
    const [only, ...more] = told((seen) => (primary(seen).sql.missingRights = ['reload the configuration']));
    expect(more).toEqual([]);
    expect(only).toMatch(/^C8 refuse: .*can't reload the configuration/);
    // In the database in which the sessions are.
    expect(only).toContain(
      `docker exec ${PRIMARY} psql -U postgres -d veloz_ha -c "GRANT EXECUTE ON FUNCTION pg_reload_conf() TO veloz_ha"`,
    );
  });

  it('is not healthy where somebody took a function from everybody, and names it with its types', () => {
    const [only, ...more] = told(
      (seen) => (primary(seen).sql.missingRights = ['call pg_logical_emit_message(boolean,text,text,boolean)']),
    );
    expect(more).toEqual([]);
    expect(only).toMatch(/^C8 refuse: .*can't call pg_logical_emit_message/);
    expect(only).toContain(
      `psql -U postgres -d veloz_ha -c "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean,text,text,boolean) TO veloz_ha"`,
    );
  });

  it('is not healthy on a server that allows no ALTER SYSTEM', () => {
    const [only, ...more] = told((seen) => (primary(seen).sql.settings.allow_alter_system = 'off'));
    expect(more).toEqual([]);
    expect(only).toMatch(new RegExp(`^C8 refuse: .*on ${PRIMARY}; allow_alter_system is off; npm run setup`));
  });

  it.each([
    [{ connectionLimit: 3 }, 'role veloz_ha has a connection limit of 3', 'ALTER ROLE veloz_ha CONNECTION LIMIT -1'],
    [
      { databaseConnectionLimit: 0 },
      'database veloz_ha has a connection limit of 0',
      'ALTER DATABASE veloz_ha CONNECTION LIMIT -1',
    ],
    [{ validForMs: 86_400_000 }, 'it ends in', "ALTER ROLE veloz_ha VALID UNTIL 'infinity'"],
    [{ validForMs: -5000 }, 'it ended', "ALTER ROLE veloz_ha VALID UNTIL 'infinity'"],
  ])('tells what would keep the role out one day: %j', (limits, measured, statement) => {
    const [only] = told((seen) => (primary(seen).sql.control = { ...whole, ...limits }));
    expect(only).toMatch(/^C8 refuse/);
    expect(only).toContain(measured);
    expect(only).toContain(`docker exec ${PRIMARY} psql -U postgres -d postgres -c`);
    expect(only).toContain(statement);
  });

  it('is not healthy where clients may take the places of the control role, or of the agent', () => {
    const places = { reserved_connections: '5', superuser_reserved_connections: '3' };
    expect(told((seen) => Object.assign(primary(seen).sql.settings, places))).toEqual([]);
    const [none, ...more] = told((seen) =>
      Object.assign(standby(seen).sql.settings, { ...places, reserved_connections: '0' }),
    );
    expect(more).toEqual([]);
    expect(none).toMatch(
      new RegExp(`^C8 refuse: .*${STANDBY} keeps places for the control role.*is 0, max_conn.*npm run setup`),
    );
    const [small] = told((seen) =>
      Object.assign(standby(seen).sql.settings, { superuser_reserved_connections: '0', max_connections: '8' }),
    ).filter((line) => line.startsWith('C8'));
    expect(small).toMatch(/its agent.*SET max_connections = 100" && docker restart/);
    // A restart of the primary would be a failover.
    const [ofPrimary] = told((seen) =>
      Object.assign(primary(seen).sql.settings, { superuser_reserved_connections: '0', max_connections: '8' }),
    ).filter((line) => line.startsWith('C8'));
    expect(ofPrimary).toMatch(/SET max_connections = 100" && veloz-ha postgres switchover --cluster veloz   # before/);
  });

  it('warns where sessions had to go to another database', () => {
    const [only] = told((seen) => (standby(seen).sql.control = { ...whole, database: 'postgres' }));
    expect(only).toMatch(new RegExp(`^C8 warn: .*${STANDBY}.*go to postgres`));
  });
});

it.each([
  ['pg_hba.conf rejects connection for host "172.18.0.1", user "veloz_ha"', /sed -i '1i host all veloz_ha samenet/],
  [
    'permission denied for function pg_control_system',
    /-d veloz_ha -c "GRANT EXECUTE ON FUNCTION pg_catalog\.pg_contr/,
  ],
  ['too many connections for role "veloz_ha"', /ALTER ROLE veloz_ha CONNECTION LIMIT -1/],
  ['role "veloz_ha" is not permitted to log in', /ALTER ROLE veloz_ha LOGIN/],
  ['sorry, too many clients already', /pg_stat_activity/],
  ['connect ECONNREFUSED', undefined],
])('names what lets the control role in again: %s', (error, next) => {
  const command = letIn(clusterTopology(), STANDBY, error, PRIMARY);
  if (next === undefined) expect(command).toBeUndefined();
  else expect(command).toMatch(next);
});
