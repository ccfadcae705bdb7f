import type { ObservedNode } from '../../../src/cluster/observed';
import {
  beyondPlan,
  decideRound,
  sameTasks,
  unsettled,
  type RepairTask,
  type RoundKnowledge,
} from '../../../src/cluster/repair/round';
import { ledgerOf } from '../failover/support';
import { absent, picture, POOLER, PRIMARY, STANDBY, stopped, type Picture } from '../support/picture';

const RUN = 'switchover-veloz/0198c8a0-1111-7000-8000-000000000001';
const nothingKnown: RoundKnowledge = { ledger: null, woken: [] };

const decide = ({ topology, observed }: Picture, known: Partial<RoundKnowledge> = {}) =>
  decideRound(topology, observed, { ...nothingKnown, ...known });
const words = (tasks: readonly RepairTask[]) => tasks.map(({ kind, node }) => `${kind} ${node}`);

/** The server of a node is down and its agent says why. */
function down(node: ObservedNode, rest: Partial<NonNullable<ObservedNode['agent']>>): void {
  node.sql = null;
  node.sqlError = 'connect ECONNREFUSED';
  Object.assign(node.agent ?? {}, { postgresState: 'stopped', controlState: 'in production', ...rest });
}

/** The primary's container has exited, and nobody receives from it. */
function dead(): Picture {
  const seen = picture();
  stopped(seen.node(PRIMARY));
  seen.node(STANDBY).sql.receiver = null;
  return seen;
}

describe('what a round of a repair does', () => {
  test('a cluster that is as it should be: nothing', () => {
    const round = decide(picture(), { door: { inRecovery: false, address: '172.18.0.2/32' } });
    expect(round).toMatchObject({ tasks: [], primary: PRIMARY, says: 'the cluster is as it should be' });
  });

  test('nobody is writable and a container does not run: it is started before anybody is promoted', () => {
    const round = decide(dead());
    expect(words(round.tasks)).toEqual([`wake ${PRIMARY}`]);
    expect(round.tasks[0]?.why).toBe(`nobody is writable, and the container of ${PRIMARY} is exited`);
    expect(round.primary).toBeUndefined();
  });

  describe('the container of the pooler does not run', () => {
    const silent = (status: string, exists = true) => {
      const seen = picture();
      Object.assign(seen.observed.pooler, {
        agent: null,
        console: null,
        container: { exists, status, running: status === 'paused' },
      });
      return seen;
    };

    test.each(['exited', 'created', 'paused'])('%s: it is started where one node takes writes', (status) => {
      const round = decide(silent(status));
      expect(words(round.tasks)).toEqual([`start-pooler ${POOLER}`]);
      expect(round).toMatchObject({ primary: PRIMARY, says: `${POOLER} is started: its container is ${status}` });
      expect(round.staysDown).toBeUndefined();
      expect(beyondPlan([], round.tasks)).toEqual([]);
    });

    test('beside a standby that is stopped too: both are in the plan, and clients are not kept waiting for a copy', () => {
      const seen = silent('exited');
      stopped(seen.node(STANDBY));
      seen.node(PRIMARY).sql.replication = [];
      expect(words(decide(seen).tasks)).toEqual([`start-pooler ${POOLER}`, `rejoin ${STANDBY}`]);
    });

    test('a node that gives a worker no answer, and runs as a primary, may answer the pooler: it is fenced first', () => {
      const seen = silent('exited');
      down(seen.node(STANDBY), { postgresState: 'running', desired: 'up' });
      seen.node(PRIMARY).sql.replication = [];
      const tasks = words(decide(seen).tasks);
      expect(tasks).toEqual([`fence ${STANDBY}`, `start-pooler ${POOLER}`, `rejoin ${STANDBY}`]);
      Object.assign(seen.node(STANDBY).agent ?? {}, { controlState: 'in archive recovery' });
      expect(words(decide(seen).tasks)).toEqual([`start-pooler ${POOLER}`, `rejoin ${STANDBY}`]);
    });

    describe.each(['exited', 'paused'])('%s, while it is not known who takes writes', (status) => {
      /** Promoted beside the primary. */
      const split = () => {
        const seen = silent(status);
        Object.assign(seen.node(STANDBY).sql, { inRecovery: false, timeline: 4, receiver: null });
        seen.node(PRIMARY).sql.replication = [];
        return seen;
      };
      const e4 = ({ findings }: ReturnType<typeof decide>) =>
        findings.find(({ id, says }) => id === 'E4' && says === `${POOLER} is ready`);

      test('two nodes take writes, and nobody can say to whom clients write: nothing, and it stays down', () => {
        const round = decide(split());
        expect(round.tasks).toEqual([]);
        expect(round.primary).toBeUndefined();
        expect(round.staysDown).toBe(
          `${POOLER} stays down (its container is ${status}): ${PRIMARY} and ${STANDBY} take writes, and nothing tells which one is right, and clients are let in only where exactly one node of the right database system takes writes`,
        );
        expect(round.says).toContain(`${POOLER} stays down`);
        expect(e4(round)).toMatchObject({
          result: 'refuse',
          measured: expect.stringContaining(`${PRIMARY} and ${STANDBY} take writes`) as string,
          next: `docker stop ${PRIMARY}   # or ${STANDBY}: one that clients did not write to; then veloz-ha repair --cluster veloz`,
        });
      });

      test('the only one that takes writes belongs to another database system than the ledger: the same', () => {
        const seen = silent(status);
        seen.node(PRIMARY).sql.systemIdentifier = '88';
        const round = decide(seen, { ledger: { ...ledgerOf(STANDBY), systemIdentifier: '7711207839503429655' } });
        expect(round.tasks).toEqual([]);
        expect(round.findings[0]).toMatchObject({ id: 'A4', result: 'refuse' });
        expect(round.staysDown).toContain(
          `${PRIMARY} belongs to database system 88, and not to 7711207839503429655 of the ledger`,
        );
      });

      test('it belongs to another one than its standby, and no ledger says which is right: the same', () => {
        const seen = silent(status);
        seen.node(PRIMARY).sql.systemIdentifier = '88';
        const round = decide(seen);
        expect(words(round.tasks)).not.toContain(`start-pooler ${POOLER}`);
        expect(round.staysDown).toContain(
          `${PRIMARY} belongs to database system 88, ${STANDBY} to 7711207839503429655`,
        );
        const ledger = { ...ledgerOf(STANDBY), systemIdentifier: '88' };
        expect(words(decide(seen, { ledger }).tasks)).toContain(`start-pooler ${POOLER}`);
      });

      test('two take writes, one of another system: no one of them is let in to', () => {
        const seen = split();
        seen.node(STANDBY).sql.systemIdentifier = '88';
        const round = decide(seen, { ledger: { ...ledgerOf(STANDBY), systemIdentifier: '7711207839503429655' } });
        expect(words(round.tasks)).not.toContain(`start-pooler ${POOLER}`);
        expect(round.staysDown).toBeDefined();
      });

      test.each([PRIMARY, STANDBY])(
        'two take writes, and the ledger names %s: after the fence of the other',
        (keep) => {
          const other = keep === PRIMARY ? STANDBY : PRIMARY;
          const round = decide(split(), { ledger: { ...ledgerOf(other), primary: keep } });
          expect(words(round.tasks)).toEqual([`fence ${other}`, `start-pooler ${POOLER}`, `rejoin ${other}`]);
          expect(round).toMatchObject({ primary: keep });
          expect(round.staysDown).toBeUndefined();
        },
      );

      test('nobody does: after the start of the old primary, in a plan that an approved run stays within', () => {
        const seen = silent(status);
        down(seen.node(PRIMARY), { desired: 'fenced', claimedBy: RUN, standbySignal: true, controlTimeline: 3 });
        Object.assign(seen.node(STANDBY).sql, { receiver: null });
        const round = decide(seen);
        expect(words(round.tasks)).toEqual([
          `start-primary ${PRIMARY}`,
          `start-pooler ${POOLER}`,
          `forget-claim ${PRIMARY}`,
        ]);
        expect(beyondPlan(round.tasks, decide(seen).tasks)).toEqual([]);
      });

      test('nobody does: after the promotion', () => {
        const seen = silent(status);
        absent(seen.node(PRIMARY));
        seen.node(STANDBY).sql.receiver = null;
        expect(words(decide(seen).tasks).slice(0, 2)).toEqual([`failover ${STANDBY}`, `start-pooler ${POOLER}`]);
      });

      test('nobody does, and nobody can be promoted: it stays down', () => {
        const seen = silent(status);
        for (const name of [PRIMARY, STANDBY]) absent(seen.node(name));
        const round = decide(seen);
        expect(round.tasks).toEqual([]);
        expect(round.staysDown).toContain('nobody takes writes, and who is to be the primary is not known');
      });
    });

    test('a run that was begun by a version which started it first goes on so', () => {
      const seen = silent('exited');
      stopped(seen.node(STANDBY));
      seen.node(PRIMARY).sql.replication = [];
      expect(words(decide(seen, { poolerAlone: true }).tasks)).toEqual([`start-pooler ${POOLER}`]);
    });

    test('a node that nobody could write to is started before it', () => {
      const seen = silent('exited');
      stopped(seen.node(PRIMARY));
      const round = decide(seen);
      expect(words(round.tasks)).toEqual([`wake ${PRIMARY}`]);
      expect(round.startsLater).toBe(POOLER);
      expect(decide(seen, { leavesStopped: true }).startsLater).toBeUndefined();
    });

    test.each([
      ['no person asks for it', silent('exited'), { leavesStopped: true }],
      ['it was started already', silent('exited'), { woken: [POOLER] }],
      ['it runs', silent('running'), {}],
      ['Docker starts it just now', silent('restarting'), {}],
      ['there is none', silent('absent', false), {}],
    ])('it is left alone: %s', (_, seen, known) => {
      if (seen.observed.pooler.container?.status === 'running') seen.observed.pooler.container.running = true;
      const round = decide(seen, known);
      expect(words(round.tasks)).toEqual([]);
      expect(round.staysDown).toBeUndefined();
    });
  });

  test('the primary was killed, and the standby that is left to a person is frozen: it is started all the same', () => {
    const seen = dead();
    down(seen.node(STANDBY), {});
    Object.assign(seen.node(STANDBY), {
      agent: null,
      container: { ...seen.node(STANDBY).container, running: false, status: 'paused' },
    });
    const round = decide(seen, { ledger: ledgerOf(STANDBY), woken: [STANDBY] });
    expect(words(round.tasks)).toEqual([`wake ${PRIMARY}`]);
    expect(unsettled(seen.observed, round)).toBeUndefined();
  });

  test('the only writable node belongs to another database system than the ledger: nothing, not even a restart of the pooler', () => {
    const seen = picture();
    seen.node(PRIMARY).sql.systemIdentifier = '88';
    const ledger = { ...ledgerOf(STANDBY), systemIdentifier: '7711207839503429655' };
    const round = decide(seen, { ledger, door: { error: 'no answer within 2000 ms' } });
    expect(round.tasks).toEqual([]);
    expect(round.primary).toBeUndefined();
    expect(round.findings[0]).toMatchObject({ id: 'A4', result: 'refuse' });
  });

  test('also a frozen one, and all of them at once', () => {
    const seen = dead();
    seen.node(PRIMARY).container.status = 'paused';
    stopped(seen.node(STANDBY));
    expect(words(decide(seen).tasks)).toEqual([`wake ${PRIMARY}`, `wake ${STANDBY}`]);
  });

  test('also one that still runs, and that a run took off its networks; what a person took off them stays so', () => {
    const seen = dead();
    const container = { running: true, status: 'running', offNetworks: { by: 'run', home: 'veloz-ha' } };
    Object.assign(seen.node(PRIMARY).container, container);
    const round = decide(seen);
    expect(words(round.tasks)).toEqual([`wake ${PRIMARY}`]);
    expect(round.tasks[0]?.why).toBe(
      `nobody is writable, and ${PRIMARY} is off its networks: a run that could not end it took it off its Docker networks`,
    );
    Object.assign(seen.node(PRIMARY).container, { offNetworks: { by: 'somebody', home: 'veloz-ha' } });
    expect(words(decide(seen).tasks)).not.toContain(`wake ${PRIMARY}`);
  });

  test('one that was woken in vain is not tried again: a standby takes its place, whatever the ledger knows as primary', () => {
    const ledger = ledgerOf(STANDBY);
    expect(words(decide(dead(), { ledger, woken: [PRIMARY] }).tasks)).toContain(`failover ${STANDBY}`);
  });

  test('one that has no container can not be woken', () => {
    const seen = dead();
    absent(seen.node(PRIMARY));
    expect(words(decide(seen).tasks)).toContain(`failover ${STANDBY}`);
  });

  test('beside a primary nobody is woken: a node that is down there is rejoined', () => {
    const seen = picture();
    stopped(seen.node(STANDBY));
    seen.node(PRIMARY).sql.replication = [];
    expect(words(decide(seen).tasks)).toEqual([`rejoin ${STANDBY}`]);
  });

  test('a standby without receiver is on the timeline that its agent knows, not on that of its last restartpoint', () => {
    const seen = picture();
    down(seen.node(PRIMARY), { desired: 'fenced', claimedBy: RUN, standbySignal: true, controlTimeline: 4 });
    Object.assign(seen.node(STANDBY).sql, { receiver: null, timeline: 3 });
    Object.assign(seen.node(STANDBY).agent ?? {}, { controlTimeline: 4 });
    expect(words(decide(seen).tasks)).toContain(`start-primary ${PRIMARY}`);
  });

  test.each([
    ['a standby', { inRecovery: true, address: '172.18.0.3/32' }, 'a client reaches a standby, 172.18.0.3/32'],
    ['nobody', { error: 'query_wait_timeout' }, 'a client gets no answer: query_wait_timeout'],
  ])('the route is right and clients reach %s: the pooler is restarted', (_, door, why) => {
    const round = decide(picture(), { door });
    expect(words(round.tasks)).toEqual([`restart-pooler ${POOLER}`]);
    expect(round.tasks[0]).toMatchObject({ check: 'F5', upstream: PRIMARY });
    expect(round.says).toContain(why);
  });

  test('a standby is brought back before the pooler is restarted; a run that was begun by an older version goes on as it began', () => {
    const seen = picture();
    stopped(seen.node(STANDBY));
    seen.node(PRIMARY).sql.replication = [];
    const door = { error: 'query_wait_timeout' };
    expect(words(decide(seen, { door }).tasks)).toEqual([`rejoin ${STANDBY}`, `restart-pooler ${POOLER}`]);
    expect(words(decide(seen, { door, poolerFirst: true }).tasks)).toEqual([
      `restart-pooler ${POOLER}`,
      `rejoin ${STANDBY}`,
    ]);
  });

  test('the primary itself refuses clients: the pooler is left alone, and that is told', () => {
    const seen = picture();
    const error = 'database "veloz" does not exist (3D000)';
    seen.node(PRIMARY).client = { ok: false, user: 'veloz', code: '3D000', readOnly: false, error };
    const door = { error: 'database "veloz" does not exist' };
    const round = decide(seen, { door });
    expect(round.tasks).toEqual([]);
    expect(round.findings).toContainEqual(
      expect.objectContaining({ id: 'F5', result: 'warn', measured: `login as veloz: ${error}` }),
    );
    expect(unsettled(seen.observed, round)).toBeUndefined();
    // Who reaches a standby is led astray all the same.
    expect(words(decide(seen, { door: { inRecovery: true, address: null } }).tasks)).toEqual([
      `restart-pooler ${POOLER}`,
    ]);
    expect(words(decide(seen, { door, poolerFirst: true }).tasks)).toEqual([`restart-pooler ${POOLER}`]);
  });

  test('somebody disabled the database at the pooler: a restart would undo that', () => {
    const seen = picture();
    Object.assign(seen.observed.pooler.console ?? {}, { disabled: true });
    const round = decide(seen, { door: { error: 'database does not allow connections: veloz' } });
    expect(round.tasks).toEqual([]);
    expect(round.findings).toContainEqual(expect.objectContaining({ id: 'F2', result: 'refuse' }));
  });

  test('a route that is wrong is put right first', () => {
    const seen = picture();
    const { agent } = seen.observed.pooler;
    if (agent !== null) agent.route = { host: STANDBY, port: 5432 };
    const round = decide(seen, { door: { inRecovery: true, address: null } });
    expect(words(round.tasks)).toEqual([`route ${POOLER}`]);
  });
});

describe('when it is too early to decide', () => {
  const unrest = (seen: Picture, known: Partial<RoundKnowledge> = {}) => unsettled(seen.observed, decide(seen, known));

  test('a cluster that stays as it is: it is not', () => {
    expect(unrest(picture())).toBeUndefined();
    expect(unrest(dead())).toBeUndefined();
  });

  test('a node that hangs, off its networks, is on its way nowhere', () => {
    const seen = dead();
    const container = { running: true, status: 'running', offNetworks: { by: 'run', home: 'veloz-ha' } } as const;
    Object.assign(seen.node(PRIMARY).container, container);
    expect(unrest(seen)).toBeUndefined();
  });

  test('an armed dead-man switch of a node, or of the hold: until it has acted', () => {
    const node = picture();
    down(node.node(PRIMARY), { desired: 'held', claimedBy: RUN, deadmanInMs: 1200 });
    expect(unrest(node)).toMatchObject({ what: 'dead-man', againMs: 1500 });
    const hold = picture();
    Object.assign(hold.observed.pooler.agent ?? {}, { holdRun: RUN, holdRemainingMs: 800 });
    expect(unrest(hold)).toMatchObject({ what: 'dead-man', againMs: 1100 });
    Object.assign(hold.observed.pooler.agent ?? {}, { holdRemainingMs: 0 });
    expect(unrest(hold)).toMatchObject({ what: 'hold' });
  });

  test.each([
    ['its server starts', { postgresState: 'starting', desired: 'up' as const }],
    ['its server stops', { postgresState: 'stopping', desired: 'held' as const }],
    ['its agent restarts it', { postgresState: 'stopped', desired: 'up' as const }],
  ])('%s: for a while', (_, agent) => {
    const seen = picture();
    down(seen.node(PRIMARY), agent);
    expect(unrest(seen)).toMatchObject({ what: PRIMARY });
  });

  test('a node that is fenced, or keeps itself down, stays so', () => {
    const fenced = picture();
    down(fenced.node(PRIMARY), { desired: 'fenced' });
    expect(unrest(fenced)).toBeUndefined();
    const guarded = picture();
    down(guarded.node(STANDBY), { desired: 'up', startGuard: 'a newer primary is there' });
    expect(unrest(guarded)).toBeUndefined();
  });

  test('a standby that does not stream yet may still connect; a client may still get through', () => {
    const seen = picture();
    seen.node(STANDBY).sql.receiver = null;
    seen.node(PRIMARY).sql.replication = [];
    expect(unrest(seen)).toMatchObject({ what: 'connecting' });
    expect(unrest(picture(), { door: { error: 'no route' } })).toMatchObject({ what: 'door' });
  });

  test('what only a moment makes bad is looked at again, and counts when it stays', () => {
    const seen = picture();
    seen.node(PRIMARY).sql.lsn = '0/30000148';
    expect(unrest(seen)).toMatchObject({ what: 'passing', says: expect.stringContaining('B5') as string });
    // Its connection is there, and the receiver is between two of its lives.
    const anew = picture();
    anew.node(STANDBY).sql.receiver = null;
    expect(unrest(anew)).toMatchObject({ what: 'passing', says: expect.stringContaining('B1') as string });
  });
});

describe('what may follow from a plan that somebody saw', () => {
  const task = (kind: RepairTask['kind'], node: string): RepairTask => ({ kind, node, why: '', check: '' });

  test('whatever makes the cluster follow its primary', () => {
    const now = [task('route', POOLER), task('rejoin', PRIMARY), task('restart-pooler', POOLER)];
    expect(beyondPlan([task('failover', STANDBY)], now)).toEqual([]);
  });

  test('another node as primary, or the end of one: only when it stood there', () => {
    const fence = task('fence', STANDBY);
    expect(beyondPlan([task('rejoin', STANDBY)], [fence])).toEqual([fence]);
    expect(beyondPlan([fence], [fence])).toEqual([]);
    const failover = task('failover', STANDBY);
    expect(beyondPlan([task('start-primary', PRIMARY)], [failover])).toEqual([failover]);
  });

  test('whom to start or promote, when it was to be found out by waking somebody', () => {
    const planned = [task('wake', PRIMARY)];
    expect(beyondPlan(planned, [task('failover', STANDBY)])).toEqual([]);
    expect(beyondPlan(planned, [task('start-primary', PRIMARY)])).toEqual([]);
    expect(beyondPlan(planned, [task('fence', PRIMARY)])).toHaveLength(1);
  });

  test('the same round twice is noticed', () => {
    expect(sameTasks([task('route', POOLER)], [task('route', POOLER)])).toBe(true);
    expect(sameTasks([task('route', POOLER)], [task('release', POOLER)])).toBe(false);
  });
});
