import { relaxSynchrony, restoreSynchrony } from '../../../src/activities/guard/synchrony';
import { RelaxingProof } from '../../../src/activities/guard/relaxing-proof';
import { accessCluster } from '../../../src/activities/deps';
import { STANDBY_FILES } from '../../../src/cluster/guard/standby-files';
import { controlFile, standbyFiles } from '../../cluster/guard/support/standby-files';
import {
  FakeEngine,
  FakeServers,
  pause,
  PRIMARY,
  Refusal,
  silence,
  STANDBY,
  STANDBY_2,
  wellObserved,
} from './support/fake-engine';

let servers: FakeServers;
jest.mock('../../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../../src/systems/postgres'),
  connectPostgres: ({ port }: { port: number }) => servers.sql(port === 15432 ? PRIMARY : STANDBY),
}));

describe('commits are let go on without a standby', () => {
  let engine: FakeEngine;
  let statements: string[];
  /** Nodes that stream through their slots, and those whom commits wait for by `sync_state`. */
  let streaming: number;
  let confirming: number;
  let names: string;
  /** The checkpointer has taken the names. */
  let inForce: boolean;
  const relax = () => relaxSynchrony(engine.deps, 'veloz', PRIMARY);
  beforeEach(() => {
    engine = new FakeEngine();
    Object.assign(engine.deps, { environment: { VELOZ_PG_HA_PASSWORD: 'x' } });
    engine.status[STANDBY_2] = 'absent';
    servers = new FakeServers();
    statements = [];
    streaming = 0;
    confirming = 0;
    inForce = true;
    names = 'veloz_standby';
    servers.answer = (_node, sql) => {
      if (sql.startsWith('ALTER SYSTEM')) names = /'(.*)'/.exec(sql)?.[1] ?? '';
      if (!/^(SET synchronous_commit = on$|SELECT (s\.slot_name|1|current_setting|pg_current_wal_flush_lsn))/.test(sql))
        statements.push(sql);
      if (sql.startsWith('SELECT 1'))
        return Array.from({ length: sql.includes('sync_state IN') ? confirming : streaming }, () => ({}));
      if (sql.startsWith('SELECT s.slot_name')) return [{ slot_name: 'veloz_postgres_standby' }].slice(0, streaming);
      return { names, lsn: '0/6000000', waits: inForce && names !== '' };
    };
  });
  const ALTER = `ALTER SYSTEM SET synchronous_standby_names = ''`;

  test('where no other node can be a primary', async () => {
    expect(await relax()).toBe(`commits on ${PRIMARY} wait for no standby: synchronous_standby_names is ''`);
    expect(statements[0]).toBe(ALTER);
    expect(names).toBe('');
  });

  test.each(['exited', 'absent', 'paused', 'created'])('where the other node’s container is %s', async (status) => {
    engine.status[STANDBY] = status;
    await relax();
    expect(statements[0]).toBe(ALTER);
  });

  test('where Docker waits for the other node itself, and its list says that it is frozen', async () => {
    engine.status[STANDBY] = 'silent';
    engine.frozen = [STANDBY];
    // Nobody is to ask it.
    engine.agent = () => new Refusal('Unreachable');
    await relax();
    expect(statements[0]).toBe(ALTER);
  });

  test('where the other node’s server is stopped', async () => {
    engine.agent = () => ({ ...wellObserved, postgres: { state: 'stopped' }, signals: { standby: false } });
    await relax();
    expect(names).toBe('');
  });

  test('where somebody streams for whom no commit waits: a reporting replica, or a standby that the names leave out', async () => {
    streaming = 2;
    await relax();
    expect(statements[0]).toBe(ALTER);
  });

  test('where one confirms, and commits wait for two', async () => {
    streaming = confirming = 1;
    names = 'ANY 2 (veloz_standby)';
    await relax();
    expect(statements[0]).toBe(ALTER);
  });

  describe('where the agent of the other node says nothing', () => {
    let files: Record<string, string | Buffer | undefined>;
    let read: string[];
    beforeEach(() => {
      const { control, signal, record } = standbyFiles();
      files = {
        [STANDBY_FILES.control]: control as Buffer,
        [STANDBY_FILES.signal]: signal,
        [STANDBY_FILES.record]: record,
      };
      read = [];
      engine.agent = () => silence;
      engine.nodeFile = (node, path) => {
        read.push(`${node} ${path}`);
        return files[path];
      };
    });

    test('and its files say that it is a standby: soon, and read in the order that proves it', async () => {
      const began = performance.now();
      await relax();
      expect(statements[0]).toBe(ALTER);
      expect(performance.now() - began).toBeLessThan(2000);
      expect(read).toEqual(
        [STANDBY_FILES.control, STANDBY_FILES.signal, STANDBY_FILES.record].map((path) => `${STANDBY} ${path}`),
      );
    });

    test('and its files prove nothing: refused, and both are told', async () => {
      files[STANDBY_FILES.control] = controlFile(6);
      await expect(relax()).rejects.toMatchObject({
        type: 'Refused',
        message: expect.stringMatching(
          /^A3: .*no answer to "observe" within 3000 ms; its pg_control .* \(state 6\)/,
        ) as unknown,
      });
      expect(statements).toEqual([]);
    });

    test('and Docker can’t read its files: refused', async () => {
      engine.nodeFile = () => new Promise(() => undefined);
      await expect(relax()).rejects.toMatchObject({ type: 'Refused' });
      // No second read stands in line behind the first.
      engine.nodeFile = (_node, path) => read.push(path) as never;
      await expect(relax()).rejects.toMatchObject({ type: 'Refused' });
      expect(read).toEqual([]);
      expect(statements).toEqual([]);
    }, 15_000);

    test('no run is asked to give way where its files prove nothing, and one is where they do', async () => {
      const holds = async () => {
        const proof = new RelaxingProof(engine.deps, accessCluster(engine.deps, 'veloz'), PRIMARY);
        expect(proof.holds()).toBe(false);
        await pause(1200);
        return proof.holds();
      };
      expect(await holds()).toBe(true);
      files[STANDBY_FILES.signal] = undefined;
      expect(await holds()).toBe(false);
      engine.status[STANDBY] = 'exited';
      expect(await holds()).toBe(true);
    });
  });

  describe('not, and that is a refusal with the next command, where', () => {
    const refused = async (says: RegExp) => {
      await expect(relax()).rejects.toMatchObject({
        type: 'Refused',
        nonRetryable: true,
        message: expect.stringMatching(says) as unknown,
      });
      expect(statements).toEqual([]);
    };

    test('a standby that commits wait for is back: what the ledger said before is still so', async () => {
      streaming = confirming = 1;
      await refused(
        /^a standby of veloz-postgres-primary confirms again \(measured: 1 that .*; limit: 1\)\. Nothing was relaxed\. Next: veloz-ha postgres status --cluster veloz$/,
      );
    });

    test('a run holds the lock', async () => {
      engine.holder = 'switchover/x';
      await refused(
        /^E2: run switchover\/x holds the lock of PostgreSQL of cluster veloz\. Next: veloz-ha watch switchover\/x$/,
      );
    });

    test('Docker says nothing of another node, and its list does not say that it is frozen', async () => {
      engine.status[STANDBY] = 'silent';
      await expect(relax()).rejects.toThrow(/no answer|longer than|within/);
      expect(statements).toEqual([]);
    });

    test('another node is no standby', async () => {
      engine.agent = () => ({ ...wellObserved, signals: { standby: false } });
      await refused(
        /^A3: veloz-postgres-standby may be a primary: its PostgreSQL is running and no standby \(limit: .*\)\. Nothing was relaxed\. Next: veloz-ha postgres status --cluster veloz$/,
      );
    });

    test('another node was asked to be promoted', async () => {
      engine.agent = () => ({ ...wellObserved, promotion: { run: 'run 8', atMs: 1 } });
      await refused(/may be a primary/);
    });

    test('another node runs, and its agent does not say what it is', async () => {
      engine.agent = () => new Refusal('Failed', 'no idea');
      await refused(/may be a primary: .*no idea/);
    });

    test('the third node may be a primary', async () => {
      engine.status[STANDBY_2] = 'running';
      engine.agent = (node) => ({ ...wellObserved, signals: { standby: node === STANDBY } });
      await refused(new RegExp(`^A3: ${STANDBY_2} may be a primary`));
    });
  });

  test('and are made to wait again once one streams and is caught up', async () => {
    streaming = confirming = 1;
    names = '';
    expect(await restoreSynchrony(engine.deps, 'veloz', PRIMARY)).toContain(
      `synchronous_standby_names is 'veloz_standby', and one confirmed`,
    );
    expect(names).toBe('veloz_standby');
    expect(statements.at(-1)).toContain('pg_logical_emit_message(true');
  });

  test('and not while no commit is seen to wait, whatever the names say: they are emptied again, to be tried later', async () => {
    streaming = confirming = 1;
    names = '';
    inForce = false;
    await expect(restoreSynchrony(engine.deps, 'veloz', PRIMARY)).rejects.toThrow(
      /^synchronous_standby_names is set and not in force yet: none of \d+ commits within \d+ ms waited/,
    );
    expect(names).toBe('');
  });

  test('and not while those who stream are counted by nobody: the names are emptied again, before any commit hangs', async () => {
    streaming = 1;
    names = '';
    await expect(restoreSynchrony(engine.deps, 'veloz', PRIMARY)).rejects.toMatchObject({ type: 'Failed' });
    expect(names).toBe('');
    expect(statements.filter((sql) => sql.includes('does a commit wait'))).toEqual([]);
  });

  test('and not while fewer stream than the names of the topology ask for: every commit would hang', async () => {
    streaming = 1;
    names = '';
    const { postgres } = accessCluster(engine.deps, 'veloz').topology;
    const before = postgres.synchronousStandbyNames;
    postgres.synchronousStandbyNames = 'ANY 2 (veloz_standby)';
    try {
      await expect(restoreSynchrony(engine.deps, 'veloz', PRIMARY)).rejects.toMatchObject({
        type: 'Refused',
        message: expect.stringContaining('asks for more standbys than stream') as unknown,
      });
    } finally {
      postgres.synchronousStandbyNames = before;
    }
    expect(names).toBe('');
  });

  test('which a run that holds the lock does by itself', async () => {
    engine.holder = 'failover-x';
    await expect(restoreSynchrony(engine.deps, 'veloz', PRIMARY)).rejects.toMatchObject({ type: 'Refused' });
  });
});
