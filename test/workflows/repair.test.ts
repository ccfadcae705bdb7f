import { Context } from '@temporalio/activity';
import { fails } from './support/failing-cluster';
import { POOLER, PRIMARY, RepairedCluster, STANDBY, STANDBY_2 } from './support/repaired-cluster';
import { protectedLedger } from './support/guarded-cluster';
import { eventually, WorkflowServer } from './support/server';

/** The repair as a workflow on a real server, with activities that do what the test says. */
describe('repair', () => {
  let server: WorkflowServer;
  let cluster: RepairedCluster;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('../../src/workflows'));
  });
  afterAll(() => server.close());
  beforeEach(() => {
    cluster = new RepairedCluster(server);
  });

  /** Asks as a guard does, every second, until the run has ended and nobody is there to be asked. */
  async function untilLeft(ask: () => Promise<void>): Promise<void> {
    for (let asked = 0; asked < 60; asked++) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      try {
        await ask();
      } catch {
        return;
      }
    }
  }

  const statesOf = ({ steps }: { steps: { id: string; state: string }[] }, node: string) =>
    steps.filter(({ id }) => id.endsWith(` ${node}`)).map(({ id, state }) => `${id.split(' ')[0]} ${state}`);

  describe('of two standbys', () => {
    beforeEach(() => {
      cluster.fenced.add(STANDBY).add(STANDBY_2);
    });

    test('makes both standbys again', async () => {
      const { report } = await cluster.run();
      expect(report).toMatchObject({ outcome: 'completed', primaryAfter: PRIMARY });
      expect(cluster.did.filter((each) => each.startsWith('settleRejoin'))).toHaveLength(2);
    });

    test('one that can not be mended keeps the other from nothing, and the end tells both', async () => {
      cluster.can.lookAtRejoin = ({ node, primary }) =>
        node === STANDBY
          ? Promise.reject(fails(`${primary} can't be reached from ${node}. Next: docker exec ${node} true`))
          : Promise.resolve({ state: 'streams', says: `${node} streams` });
      const { type, report } = await cluster.run();
      expect(type).toBe('Incomplete');
      expect(report.says).toBe(
        `${STANDBY_2} is a standby again. ${STANDBY} is not: step "Fence ${STANDBY}, and compare its history with the primary's" did not finish: ${PRIMARY} can't be reached from ${STANDBY}. Next: docker exec ${STANDBY} true`,
      );
      expect(statesOf(report, STANDBY)).toEqual(['look failed', 'data skipped', 'start skipped', 'protect skipped']);
      expect(statesOf(report, STANDBY_2)).toEqual(['look done', 'data done', 'start done', 'protect done']);
      // It is not tried again by the same run.
      expect(cluster.did.filter((each) => each === `lookAtRejoin ${STANDBY}`)).toHaveLength(1);
    });

    test('the only one that is not left to people: its refusal is the end', async () => {
      cluster.can.lookAtRejoin = () => Promise.reject(fails('A4: not its system. Next: docker ps', 'Refused'));
      const { type, report } = await cluster.run({ leave: [STANDBY_2] });
      expect({ type, says: report.says }).toEqual({
        type: 'Refused',
        says: 'A4: not its system. Next: docker ps',
      });
      expect(cluster.did.filter((each) => each.endsWith(STANDBY_2))).toEqual([]);
    });

    test('what else is not right is told beside the one that can not be mended', async () => {
      cluster.can.lookAtRejoin = ({ node }) =>
        node === STANDBY
          ? Promise.reject(fails(`no way to ${node}`))
          : Promise.resolve({ state: 'streams', says: 'ok' });
      cluster.can.lookThroughDoor = () => Promise.resolve({ error: 'query_wait_timeout' });
      cluster.can.restartPooler = () => Promise.resolve('restarted');
      const { type, report } = await cluster.run();
      expect(type).toBe('Incomplete');
      expect(report.says).toContain(
        `no way to ${STANDBY}. The cluster is not right yet, and it takes something the same again`,
      );
    });

    test('clients that do not get through keep no standby from coming back, and the pooler is restarted once', async () => {
      cluster.can.lookThroughDoor = () => Promise.resolve({ error: 'query_wait_timeout' });
      cluster.can.restartPooler = () =>
        Promise.reject(fails(`clients still do not reach ${PRIMARY}. Next: docker logs x`));
      const { type, report } = await cluster.run();
      expect(type).toBe('Incomplete');
      expect(report.says).toBe(
        `${STANDBY} and ${STANDBY_2} are standbys again. Clients do not get through ${POOLER}: step "Restart ${POOLER}, whose clients do not reach ${PRIMARY}" did not finish: clients still do not reach ${PRIMARY}. Next: docker logs x`,
      );
      expect(cluster.did.filter((each) => each === 'restartPooler')).toHaveLength(1);
      // What else there is to prove is proven.
      expect(cluster.did).toContain('verifyRepair');
    });

    test('where the primary itself refuses clients they become standbys, and that is a warning', async () => {
      cluster.refuses = 'database "veloz" does not exist (3D000)';
      cluster.can.lookThroughDoor = () => Promise.resolve({ error: 'database "veloz" does not exist' });
      const { report } = await cluster.run();
      expect(report).toMatchObject({ outcome: 'completed with warnings', primaryAfter: PRIMARY });
      expect(report.says).toContain('clients are led to it, and it refuses them');
      expect(report.warnings.join()).toContain(
        `F5: ${PRIMARY} refuses clients, whoever leads them to it: login as veloz: database "veloz" does not exist (3D000)`,
      );
      expect(cluster.did.filter((each) => each.startsWith('settleRejoin'))).toHaveLength(2);
      expect(cluster.did).not.toContain('restartPooler');
    });

    test('neither can be mended: both are told', async () => {
      cluster.can.lookAtRejoin = ({ node }) => Promise.reject(fails(`no way to ${node}`));
      const { type, report } = await cluster.run();
      expect(type).toBe('Incomplete');
      expect(report.says).toContain(`no way to ${STANDBY}; ${STANDBY_2} is not: step`);
    });
  });

  describe.each(['exited', 'paused'])('beside a pooler that is %s', (status) => {
    beforeEach(() => {
      cluster.poolerIs = status;
    });
    const changes = () => cluster.did.filter((each) => !['takeNodes', 'endClaims', 'verifyRepair'].includes(each));
    /** Approves as soon as the run asks. */
    const approved = async (_asks: unknown, approve: () => Promise<unknown>) => {
      await eventually('the question', () =>
        approve().then(
          () => true as const,
          () => undefined,
        ),
      );
    };

    test('where two nodes take writes and nobody decides: nothing is changed, and it is said why it stays down', async () => {
      cluster.promoted.add(STANDBY);
      const { type, report } = await cluster.run();
      expect(type).toBe('Refused');
      expect(report.says).toMatch(/^A3: two nodes are writable: /);
      expect(report.says).toContain(
        `Nothing was changed. ${POOLER} stays down (its container is ${status}): ${PRIMARY} and ${STANDBY} take writes, and nothing tells which one is right, and clients`,
      );
      expect(report.next.map(({ command }) => command)).not.toContain(`docker start ${POOLER}`);
      expect(cluster.did).toEqual([]);
    });

    test('where the only primary is of another database system: the same', async () => {
      cluster.ledger = { ...protectedLedger(), systemIdentifier: '88' };
      const { type, report } = await cluster.run();
      expect(type).toBe('Refused');
      expect(report.says).toContain(`${POOLER} stays down (its container is ${status}): ${PRIMARY} belongs to`);
      expect(cluster.did).toEqual([]);
    });

    test('where the ledger decides: the other one is fenced before a client is let in', async () => {
      cluster.promoted.add(STANDBY);
      cluster.ledger = protectedLedger();
      const { report } = await cluster.run({ approval: 'required' }, approved);
      expect(report).toMatchObject({ outcome: 'completed', primaryAfter: PRIMARY });
      expect(changes().slice(0, 3)).toEqual([
        `fenceSecondPrimary ${STANDBY}`,
        'startPooler',
        `lookAtRejoin ${STANDBY}`,
      ]);
    });

    test('where nobody takes writes: the plan names all that follows, and a run that is approved does it in one go', async () => {
      cluster.fenced.add(PRIMARY);
      const { report: plan } = await cluster.run({ mode: 'plan' });
      const ids = plan.plan?.steps.map(({ id }) => id) ?? [];
      expect(ids).toEqual(['take', `primary ${PRIMARY}`, 'start pooler', 'then', 'verify']);
      expect(cluster.did).toEqual([]);
      const { report } = await cluster.run({ approval: 'required' }, approved);
      expect(report).toMatchObject({ outcome: 'completed', primaryAfter: PRIMARY });
      expect(changes()).toEqual([`startOldPrimary ${PRIMARY}`, 'startPooler']);
    });

    test('where a node has to be woken first: the plan says that the pooler follows', async () => {
      cluster.dead.add(PRIMARY);
      const { report: plan } = await cluster.run({ mode: 'plan' });
      expect(plan.plan?.steps.find(({ id }) => id === 'then')?.says).toContain(
        `${POOLER} is started, its clients are led there`,
      );
      const { report } = await cluster.run({ approval: 'required' }, approved);
      expect(report.outcome).toBe('completed');
      expect(changes()).toEqual([`wakeNode ${PRIMARY}`, 'startPooler']);
    });

    test('where only that is wrong: it is started, and the plan says what may follow', async () => {
      const { report: plan } = await cluster.run({ mode: 'plan' });
      expect(plan.plan?.steps.map(({ id }) => id)).toEqual(['start pooler', 'then', 'verify']);
      const { report } = await cluster.run();
      expect(report.outcome).toBe('completed');
      expect(changes()).toEqual(['startPooler']);
    });
  });

  describe('a rejoin that a person asks for', () => {
    beforeEach(() => {
      cluster.can.endSilentNode = () => Promise.resolve('it was ended');
    });

    test('ends a node first of which nothing answers: commits may wait for it, and that part is not left', async () => {
      cluster.silent.add(STANDBY_2);
      cluster.ledger = protectedLedger();
      let ended = false;
      cluster.can.endSilentNode = async () => {
        for (let beats = 0; beats < 15; beats++) {
          Context.current().heartbeat();
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        ended = true;
        return 'it was ended';
      };
      cluster.can.lookAtRejoin = async () => {
        const beating = setInterval(() => Context.current().heartbeat(), 100);
        return Context.current().cancelled.finally(() => clearInterval(beating));
      };
      const { type } = await cluster.runOf('rejoin', { node: STANDBY_2 }, async (asks) => {
        await eventually('the step', () => (cluster.did.includes(`endSilentNode ${STANDBY_2}`) ? true : undefined));
        await untilLeft(() => asks(PRIMARY));
      });
      expect({ type, ended }).toEqual({ type: 'Incomplete', ended: true });
      expect(cluster.did.slice(0, 2)).toEqual([`endSilentNode ${STANDBY_2}`, `lookAtRejoin ${STANDBY_2}`]);
    }, 120_000);

    test('brings that node back, and one that can not be ended so is looked at all the same', async () => {
      cluster.silent.add(STANDBY_2);
      cluster.can.endSilentNode = () => Promise.reject(fails('no proof', 'Refused'));
      const { report } = await cluster.runOf('rejoin', { node: STANDBY_2 });
      expect(report).toMatchObject({ outcome: 'completed', primaryAfter: PRIMARY });
      expect(cluster.did.filter((each) => each.endsWith(STANDBY_2))).toEqual([
        `endSilentNode ${STANDBY_2}`,
        `lookAtRejoin ${STANDBY_2}`,
        `startAsStandby ${STANDBY_2}`,
        `settleRejoin ${STANDBY_2}`,
      ]);
    });

    test('ends none whose agent answers', async () => {
      cluster.fenced.add(STANDBY_2);
      const { report } = await cluster.runOf('rejoin', { node: STANDBY_2 });
      expect(report.outcome).toBe('completed');
      expect(cluster.did).not.toContain(`endSilentNode ${STANDBY_2}`);
    });
  });

  describe('gives way to a guard', () => {
    beforeEach(() => {
      cluster.ledger = protectedLedger();
    });

    test('while it looks: nothing was changed, and the lock is free at once', async () => {
      cluster.silent.add(STANDBY_2);
      const { type, report } = await cluster.run({}, (asks) => untilLeft(() => asks(PRIMARY)));
      expect(type).toBe('Incomplete');
      expect(report.says).toContain(`others have to act now: ${PRIMARY} is dead. Nothing was changed. Next: veloz-ha`);
      expect(cluster.did).toEqual([]);
    });

    test('while it takes the nodes: no other step begins', async () => {
      cluster.fenced.add(STANDBY);
      cluster.can.takeNodes = async () => {
        const beating = setInterval(() => Context.current().heartbeat(), 100);
        return Context.current().cancelled.finally(() => clearInterval(beating));
      };
      const { type, report } = await cluster.run({}, async (asks) => {
        await eventually('the step', () => (cluster.did.includes('takeNodes') ? true : undefined));
        await asks(PRIMARY);
      });
      expect(type).toBe('Incomplete');
      expect(report).toMatchObject({ gaveWay: true, says: expect.stringContaining('it gave way') as unknown });
      // Without the lock the nodes are somebody else's.
      expect(cluster.did).toEqual(['takeNodes']);
    });

    test('not before a silent node has ended, which is what commits wait for', async () => {
      cluster.silent.add(STANDBY_2);
      let ended = false;
      cluster.can.endSilentNode = async () => {
        for (let beats = 0; beats < 15; beats++) {
          Context.current().heartbeat();
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        ended = true;
        return 'it was ended';
      };
      cluster.can.lookAtRejoin = async () => {
        const beating = setInterval(() => Context.current().heartbeat(), 100);
        return Context.current().cancelled.finally(() => clearInterval(beating));
      };
      const { type } = await cluster.run({}, async (asks) => {
        await eventually('the step', () => (cluster.did.includes(`endSilentNode ${STANDBY_2}`) ? true : undefined));
        await untilLeft(() => asks(PRIMARY));
      });
      expect({ type, ended }).toEqual({ type: 'Incomplete', ended: true });
      expect(cluster.did.slice(-2)).toEqual([`endSilentNode ${STANDBY_2}`, `lookAtRejoin ${STANDBY_2}`]);
    }, 120_000);

    test('where the primary that it saw is gone: the guard decides, and the repair starts nobody', async () => {
      cluster.fenced.add(STANDBY);
      cluster.can.settleRejoin = () => {
        cluster.dead.add(PRIMARY);
        return Promise.reject(fails(`${PRIMARY} gives no answer`));
      };
      const { type, report } = await cluster.run();
      expect(type).toBe('Incomplete');
      expect(report.says).toContain(`It gave way: ${PRIMARY} took writes when this run looked before`);
      expect(report.gaveWay).toBe(true);
      expect(cluster.did.filter((each) => each.startsWith('wakeNode'))).toEqual([]);
    });

    test('where nobody guards it goes on as before: who was the primary is started', async () => {
      cluster.ledger = undefined;
      cluster.dead.add(PRIMARY);
      const { report } = await cluster.run();
      expect(report).toMatchObject({ outcome: 'completed', primaryAfter: PRIMARY });
      expect(cluster.did).toContain(`wakeNode ${PRIMARY}`);
    });
  });
});
