import { decideRepair, type RepairAction, type RepairDecision } from '../../../src/cluster/failover/repair';
import type { Ledger } from '../../../src/cluster/guard/ledger';
import type { ObservedNode } from '../../../src/cluster/observed';
import {
  absent,
  picture,
  POOLER,
  PRIMARY,
  STANDBY,
  STANDBY_2,
  stopped,
  turned,
  type Picture,
} from '../support/picture';
import { ledgerOf } from './support';

const RUN = 'switchover-veloz/0198c8a0-1111-7000-8000-000000000001';
/** The database system of the picture. */
const SYSTEM = '7711207839503429655';

/** The server of a node is down, its agent answers. */
function down(node: ObservedNode, rest: Partial<NonNullable<ObservedNode['agent']>> = {}): void {
  node.sql = null;
  node.sqlError = 'connect ECONNREFUSED';
  Object.assign(node.agent ?? {}, { postgresState: 'stopped', controlState: 'shut down', ...rest });
}
/** Neither its agent nor its server says anything, and its container runs. */
function silent(node: ObservedNode): void {
  down(node);
  node.agent = null;
  node.agentError = 'no answer within 3000 ms';
}
const held = { desired: 'held' as const, claimedBy: RUN };
const fenced = { desired: 'fenced' as const, claimedBy: RUN, standbySignal: true };
/** Nobody receives from anybody. */
function cutOff(seen: Picture, ...names: string[]): void {
  for (const name of names) seen.node(name).sql.receiver = null;
}
/** The standby was promoted, and clients were led to it; the old primary is down. */
function promoted(): Picture {
  const seen = picture();
  turned(seen);
  Object.assign(seen.node(STANDBY).sql, { timeline: 4, replication: [] });
  return seen;
}

interface Case {
  make: () => Picture;
  ledger?: Ledger;
  liveRuns?: string[];
  /** Each as "kind node", in order. */
  does: string[];
  /** A part of the reason of the first action. */
  why: string;
  /** Details of the first action. */
  first?: Partial<RepairAction>;
  primary?: string | undefined;
}

const change =
  (work: (seen: Picture) => void, three = false) =>
  (): Picture => {
    const seen = picture({ three });
    work(seen);
    return seen;
  };

const cases: Record<string, Case> = {
  // Two writable nodes
  'two nodes are writable: the one that the ledger does not name is fenced, and rejoined': {
    make: change((seen) => Object.assign(seen.node(STANDBY).sql, { inRecovery: false, timeline: 4, receiver: null })),
    ledger: ledgerOf(STANDBY),
    does: [`fence ${STANDBY}`, `rejoin ${STANDBY}`],
    why: `${PRIMARY} is the primary that the ledger names; ${STANDBY} is fenced`,
    first: { check: 'A3', upstream: PRIMARY },
    primary: PRIMARY,
  },
  'two nodes are writable, and clients are led to the wrong one': {
    make: change((seen) => {
      Object.assign(seen.node(STANDBY).sql, { inRecovery: false, timeline: 4, receiver: null });
      seen.observed.pooler.agent = { ...seen.observed.pooler.agent!, route: { host: STANDBY, port: 5432 } };
    }),
    ledger: ledgerOf(STANDBY),
    does: [`fence ${STANDBY}`, `route ${POOLER}`, `rejoin ${STANDBY}`],
    why: 'is fenced',
    primary: PRIMARY,
  },
  'two nodes are writable without a ledger: the newest timeline stays, where clients are led there': {
    make: () => {
      const seen = promoted();
      Object.assign(seen.node(PRIMARY).sql, { inRecovery: false, timeline: 3, receiver: null });
      return seen;
    },
    does: [`fence ${PRIMARY}`, `rejoin ${PRIMARY}`],
    why: 'is on the newest timeline',
    primary: STANDBY,
  },
  'two nodes are writable without a ledger, and clients write to the older timeline: people decide': {
    make: change((seen) => Object.assign(seen.node(STANDBY).sql, { inRecovery: false, timeline: 4 })),
    does: ['nothing'],
    why: "nothing can be done without a person's decision: two nodes are writable",
    first: { check: 'A3' },
    primary: undefined,
  },
  'two nodes are writable on one timeline, and the ledger names neither: people decide': {
    make: change((seen) => Object.assign(seen.node(STANDBY).sql, { inRecovery: false })),
    does: ['nothing'],
    why: 'two nodes are writable',
    primary: undefined,
  },

  'two nodes are writable, and the one that the ledger names was made anew: nobody is fenced for it': {
    make: change((seen) => {
      Object.assign(seen.node(STANDBY).sql, { inRecovery: false, timeline: 4, receiver: null });
      seen.node(PRIMARY).sql.systemIdentifier = '88';
    }),
    ledger: { ...ledgerOf(STANDBY), systemIdentifier: SYSTEM },
    does: ['nothing'],
    why: "nothing can be done without a person's decision: two nodes are writable",
    primary: undefined,
  },

  // Another database system (A4)
  'the only writable node belongs to another database system than the ledger: nothing is done on its word': {
    make: () => {
      const seen = promoted();
      seen.node(STANDBY).sql.systemIdentifier = '88';
      stopped(seen.node(PRIMARY));
      seen.observed.pooler.agent = { ...seen.observed.pooler.agent!, route: { host: PRIMARY, port: 5432 } };
      Object.assign(seen.node(STANDBY).agent ?? {}, { claimedBy: RUN });
      return seen;
    },
    ledger: { ...ledgerOf(STANDBY), systemIdentifier: SYSTEM },
    does: ['nothing'],
    why: `nothing can be done without a person's decision: ${STANDBY} takes writes, and belongs to another database system than the ledger`,
    first: { check: 'A4' },
    primary: undefined,
  },
  'the old primary was made anew, and is held: it is not started as the primary': {
    make: change((seen) => {
      down(seen.node(PRIMARY), { ...held, systemIdentifier: '88' });
      cutOff(seen, STANDBY);
    }),
    ledger: { ...ledgerOf(STANDBY), systemIdentifier: SYSTEM },
    does: [`forget-claim ${PRIMARY}`],
    why: 'is over and still owns',
    primary: undefined,
  },
  'the only writable node is of the system of the ledger: clients are led there': {
    make: () => {
      const seen = promoted();
      down(seen.node(PRIMARY), { ...fenced, controlTimeline: 3 });
      return seen;
    },
    ledger: { ...ledgerOf(STANDBY), systemIdentifier: SYSTEM },
    does: [`rejoin ${PRIMARY}`, `forget-claim ${PRIMARY}`],
    why: 'it is fenced',
    primary: STANDBY,
  },

  // Nobody writable
  'two standbys are left by a dead run: the most advanced is promoted': {
    make: change((seen) => {
      Object.assign(seen.node(PRIMARY).sql, {
        inRecovery: true,
        lsn: '0/3000148',
        replayLsn: '0/3000148',
        receiver: null,
      });
      Object.assign(seen.node(STANDBY).sql, { lsn: '0/3000200', receiver: null });
    }),
    does: [`failover ${STANDBY}`, `route ${POOLER}`],
    why: `nobody is writable, and ${STANDBY} is the most advanced of 2 standbys: timeline 3, 0/3000200`,
    first: { check: 'I9' },
    primary: STANDBY,
  },
  'two standbys are equal: the one that was the primary is it again': {
    make: change((seen) => {
      Object.assign(seen.node(PRIMARY).sql, { inRecovery: true, replayLsn: '0/3000148', receiver: null });
      cutOff(seen, STANDBY);
    }),
    ledger: ledgerOf(STANDBY),
    does: [`failover ${PRIMARY}`],
    why: 'nobody is writable',
    primary: PRIMARY,
  },
  'two standbys, of which one has replayed more than it received': {
    make: change((seen) => {
      Object.assign(seen.node(PRIMARY).sql, { inRecovery: true, replayLsn: '0/3000300', receiver: null });
      cutOff(seen, STANDBY);
    }),
    does: [`failover ${PRIMARY}`],
    why: `${PRIMARY} is the most advanced`,
    primary: PRIMARY,
  },
  'a standby on a newer timeline is further than any position': {
    make: change((seen) => {
      Object.assign(seen.node(PRIMARY).sql, { inRecovery: true, lsn: '0/9000000', replayLsn: '0/9000000' });
      Object.assign(seen.node(STANDBY).sql, { timeline: 4, receiver: null });
    }),
    does: [`failover ${STANDBY}`, `route ${POOLER}`],
    why: 'timeline 4',
    primary: STANDBY,
  },
  'the most advanced is excluded from promotion: the next one': {
    make: change((seen) => {
      Object.assign(seen.node(PRIMARY).sql, { inRecovery: true, lsn: '0/9000000', replayLsn: '0/9000000' });
      seen.node(PRIMARY).promotable = false;
    }),
    does: [`failover ${STANDBY}`, `route ${POOLER}`],
    why: 'of 2 standbys',
    primary: STANDBY,
  },
  'the old primary is held by a dead run, and nobody was promoted: it is started': {
    make: change((seen) => {
      down(seen.node(PRIMARY), held);
      cutOff(seen, STANDBY);
    }),
    does: [`start-primary ${PRIMARY}`, `forget-claim ${PRIMARY}`],
    why: `${PRIMARY} was the primary and is held: its control file says "shut down" on timeline 3; ${STANDBY} is a standby on its timeline 3, so nobody was promoted`,
    first: { check: 'G5' },
    primary: PRIMARY,
  },
  'the old primary is fenced after a kill, and nobody was promoted: it is started, and clients go on': {
    make: change((seen) => {
      down(seen.node(PRIMARY), { ...fenced, controlState: 'in production' });
      cutOff(seen, STANDBY);
      Object.assign(seen.observed.pooler.agent ?? {}, { holdRun: RUN, holdRemainingMs: 0, claimedBy: RUN });
    }),
    does: [`start-primary ${PRIMARY}`, `release ${POOLER}`, `forget-claim ${PRIMARY}`, `forget-claim ${POOLER}`],
    why: `is fenced: its control file says "in production"`,
    primary: PRIMARY,
  },
  'its dead-man switch is still armed: it comes first': {
    make: change((seen) => down(seen.node(PRIMARY), { ...held, deadmanInMs: 1700 })),
    does: [`start-primary ${PRIMARY}`, `forget-claim ${PRIMARY}`],
    why: 'is held',
    first: { afterMs: 1700 },
    primary: PRIMARY,
  },
  'the container of the primary that the ledger names is stopped: it is started': {
    make: change((seen) => {
      stopped(seen.node(PRIMARY));
      cutOff(seen, STANDBY);
    }),
    ledger: ledgerOf(STANDBY),
    does: [`start-primary ${PRIMARY}`],
    why: `the ledger knows ${PRIMARY} as primary on timeline 3, and its container is exited`,
    primary: PRIMARY,
  },
  'the container of the primary is stopped, and no ledger names it: a failover decides': {
    make: change((seen) => {
      stopped(seen.node(PRIMARY));
      cutOff(seen, STANDBY);
    }),
    does: [`failover ${STANDBY}`, `route ${POOLER}`, `rejoin ${PRIMARY}`],
    why: 'nobody is writable',
    primary: STANDBY,
  },
  'the container of the primary is gone: a failover decides': {
    make: change((seen) => {
      absent(seen.node(PRIMARY));
      cutOff(seen, STANDBY);
    }),
    ledger: ledgerOf(STANDBY),
    does: [`failover ${STANDBY}`, `route ${POOLER}`],
    why: 'nobody is writable',
    primary: STANDBY,
  },
  'the old primary is held, and the standby is on a newer timeline: somebody was promoted': {
    make: change((seen) => {
      down(seen.node(PRIMARY), held);
      Object.assign(seen.node(STANDBY).sql, { timeline: 4, receiver: null });
    }),
    does: [`failover ${STANDBY}`, `route ${POOLER}`, `rejoin ${PRIMARY}`, `forget-claim ${PRIMARY}`],
    why: `${STANDBY} is the most advanced of 1 standbys: timeline 4`,
    primary: STANDBY,
  },
  'the old primary is held, and one of two standbys gives no answer: it may have been promoted': {
    make: change((seen) => {
      down(seen.node(PRIMARY), held);
      stopped(seen.node(STANDBY_2));
      cutOff(seen, STANDBY);
    }, true),
    does: [
      `failover ${STANDBY}`,
      `route ${POOLER}`,
      `rejoin ${PRIMARY}`,
      `rejoin ${STANDBY_2}`,
      `forget-claim ${PRIMARY}`,
    ],
    why: 'nobody is writable',
    primary: STANDBY,
  },
  'a stopped node was on a newer timeline than every standby: people decide': {
    make: change((seen) => {
      down(seen.node(PRIMARY), { controlTimeline: 5 });
      cutOff(seen, STANDBY);
    }),
    does: ['nothing'],
    why: `${PRIMARY} was on a newer timeline than every standby that answers`,
    first: { check: 'A6' },
    primary: undefined,
  },
  'the primary is held, and the standby gives no answer: people decide': {
    make: change((seen) => {
      down(seen.node(PRIMARY), held);
      stopped(seen.node(STANDBY));
    }),
    does: [`forget-claim ${PRIMARY}`],
    why: 'is over and still owns',
    primary: undefined,
  },

  // One primary
  'the old primary is fenced by a run that is over: rejoined': {
    make: () => {
      const seen = promoted();
      down(seen.node(PRIMARY), { ...fenced, controlState: 'in production', controlTimeline: 3 });
      return seen;
    },
    does: [`rejoin ${PRIMARY}`, `forget-claim ${PRIMARY}`],
    why: `it is fenced by ${RUN}, which is over; its switch has no dead-man switch any more`,
    first: { check: 'E2', upstream: STANDBY },
    primary: STANDBY,
  },
  'the old primary is held, and its switch is armed': {
    make: () => {
      const seen = promoted();
      down(seen.node(PRIMARY), { ...held, deadmanInMs: 2300 });
      return seen;
    },
    does: [`rejoin ${PRIMARY}`, `forget-claim ${PRIMARY}`],
    why: 'its switch acts in 2.30 s',
    first: { afterMs: 2300 },
    primary: STANDBY,
  },
  'the old primary keeps itself down': {
    make: () => {
      const seen = promoted();
      down(seen.node(PRIMARY), { startGuard: `${STANDBY} is a primary on timeline 4` });
      return seen;
    },
    does: [`rejoin ${PRIMARY}`],
    why: `it keeps itself down: ${STANDBY} is a primary on timeline 4`,
    first: { check: 'J9' },
    primary: STANDBY,
  },
  'the standby is stopped': {
    make: change((seen) => {
      stopped(seen.node(STANDBY));
      seen.node(PRIMARY).sql.replication = [];
    }),
    does: [`rejoin ${STANDBY}`],
    why: 'its container is exited',
    first: { check: 'E4' },
  },
  'the standby is frozen': {
    make: change((seen) => {
      stopped(seen.node(STANDBY));
      seen.node(STANDBY).container = { exists: true, running: true, status: 'paused', restartPolicy: 'unless-stopped' };
      seen.node(PRIMARY).sql.replication = [];
    }),
    does: [`rejoin ${STANDBY}`],
    why: 'its container is paused',
  },
  'the server of the standby is stopped': {
    make: change((seen) => {
      down(seen.node(STANDBY), { controlState: 'shut down in recovery' });
      seen.node(PRIMARY).sql.replication = [];
    }),
    does: [`rejoin ${STANDBY}`],
    why: 'its PostgreSQL is stopped',
  },
  'a standby follows somebody else': {
    make: change((seen) => {
      const node = seen.node(STANDBY_2);
      if (node.sql.receiver !== null) node.sql.receiver.senderHost = STANDBY;
      seen.node(PRIMARY).sql.replication.pop();
      seen.node(PRIMARY).sql.settings.synchronous_standby_names = 'ANY 1 (veloz_standby)';
    }, true),
    does: [`rejoin ${STANDBY_2}`],
    why: `it follows ${STANDBY} (streaming), and ${PRIMARY} is the primary`,
    first: { check: 'B1' },
  },
  'the standby receives nothing': {
    make: change((seen) => {
      cutOff(seen, STANDBY);
      seen.node(PRIMARY).sql.replication = [];
    }),
    does: [`rejoin ${STANDBY}`],
    why: `its WAL receiver does not run, and ${PRIMARY} has no walsender for it`,
  },
  'names were left empty: they are restored when the standby is back': {
    make: () => {
      const seen = promoted();
      seen.node(STANDBY).sql.settings.synchronous_standby_names = '';
      down(seen.node(PRIMARY), { ...fenced, controlTimeline: 3 });
      return seen;
    },
    does: [`rejoin ${PRIMARY}`, `restore-names ${STANDBY}`, `forget-claim ${PRIMARY}`],
    why: 'it is fenced',
    primary: STANDBY,
  },
  'names are empty, and a standby streams': {
    make: change((seen) => (seen.node(PRIMARY).sql.settings.synchronous_standby_names = '')),
    does: [`restore-names ${PRIMARY}`],
    why: "synchronous_standby_names is '', and 1 standby streams",
    first: { names: 'veloz_standby', check: 'H4' },
  },
  'names are those of one standby, and two stream': {
    make: change((seen) => (seen.node(PRIMARY).sql.settings.synchronous_standby_names = 'veloz_standby'), true),
    does: [`restore-names ${PRIMARY}`],
    why: "synchronous_standby_names is 'veloz_standby', and 2 standbys stream",
    first: { names: 'ANY 1 (veloz_standby)' },
  },
  'names are empty, and nobody is there: commits would wait for ever': {
    make: change((seen) => {
      absent(seen.node(STANDBY));
      Object.assign(seen.node(PRIMARY).sql, { replication: [] });
      seen.node(PRIMARY).sql.settings.synchronous_standby_names = '';
    }),
    does: ['nothing'],
    why: "nothing can be done without a person's decision",
  },
  'clients are led elsewhere': {
    make: change(
      (seen) => (seen.observed.pooler.agent = { ...seen.observed.pooler.agent!, route: { host: STANDBY, port: 5432 } }),
    ),
    does: [`route ${POOLER}`],
    why: `its routing file leads to ${STANDBY}:5432, and ${PRIMARY} is the primary`,
    first: { check: 'F4', upstream: PRIMARY },
  },
  'clients are led nowhere': {
    make: change((seen) => (seen.observed.pooler.agent = { ...seen.observed.pooler.agent!, route: null })),
    does: [`route ${POOLER}`],
    why: 'leads to nobody',
  },
  'the route was written and not read': {
    make: change((seen) => Object.assign(seen.observed.pooler.console ?? {}, { host: STANDBY })),
    does: [`route ${POOLER}`],
    why: `it has not read its routing file and uses ${STANDBY}`,
  },
  'clients are paused, and nobody holds them': {
    make: change((seen) => Object.assign(seen.observed.pooler.console ?? {}, { paused: true, waitingClients: 8 })),
    does: [`release ${POOLER}`],
    why: 'clients are paused and no run holds them, 8 clients wait',
    first: { check: 'F2' },
  },
  'all of the pooler is suspended, and its console takes nobody new': {
    make: change((seen) => {
      Object.assign(seen.observed.pooler.agent ?? {}, { paused: true, halted: 'suspended' });
      Object.assign(seen.observed.pooler, { console: null, consoleError: 'timeout expired' });
    }),
    does: [`release ${POOLER}`],
    why: `clients are paused (all of ${POOLER} is suspended) and no run holds them`,
    first: { check: 'F2' },
  },
  'clients are held by a dead run': {
    make: change((seen) =>
      Object.assign(seen.observed.pooler.agent ?? {}, { holdRun: RUN, holdRemainingMs: 1500, claimedBy: RUN }),
    ),
    does: [`release ${POOLER}`, `forget-claim ${POOLER}`],
    why: `run ${RUN} is over and still holds clients, for 1.50 s more`,
    first: { afterMs: 1500 },
  },
  'a dead run left its claims': {
    make: change((seen) => {
      for (const name of [PRIMARY, STANDBY]) Object.assign(seen.node(name).agent ?? {}, { claimedBy: RUN });
    }),
    does: [`forget-claim ${PRIMARY}`, `forget-claim ${STANDBY}`],
    why: `run ${RUN} is over and still owns ${PRIMARY}`,
    first: { check: 'E1', run: RUN },
  },
  'a slot that nobody uses retains WAL': {
    make: change((seen) => {
      seen.node(PRIMARY).sql.slots.push(
        { name: 'veloz_postgres_standby_2', type: 'physical', active: false, retainedBytes: 5_000_000 },
        // A backup tool's, and a subscriber's: they are told by status and left alone.
        { name: 'barman', type: 'physical', active: false, retainedBytes: 5_000_000 },
        { name: 'debezium', type: 'logical', active: false, retainedBytes: 5_000_000 },
      );
      seen
        .node(STANDBY)
        .sql.slots.push({ name: 'veloz_postgres_primary', type: 'physical', active: false, retainedBytes: 77 });
    }),
    does: [`drop-slot ${PRIMARY}`, `drop-slot ${STANDBY}`],
    why: 'slot veloz_postgres_standby_2 is not used by anybody and retains 5000000 bytes',
    first: { slot: 'veloz_postgres_standby_2', check: 'J10' },
  },
  'a standby belongs to another system: people decide, whatever else can be done': {
    make: change((seen) => {
      seen.node(STANDBY_2).sql.systemIdentifier = '88';
      seen.node(STANDBY_2).sql.receiver = null;
      seen.node(PRIMARY).sql.replication.pop();
      Object.assign(seen.node(PRIMARY).agent ?? {}, { claimedBy: RUN });
    }, true),
    does: [`forget-claim ${PRIMARY}`],
    why: 'is over',
  },
  'a standby is on a newer timeline than the primary: people decide': {
    make: change((seen) => {
      Object.assign(seen.node(STANDBY).sql, { timeline: 4, receiver: null });
      seen.node(PRIMARY).sql.replication = [];
    }),
    does: ['nothing'],
    why: "nothing can be done without a person's decision",
  },
  'a second primary that was fenced, whose rejoin was ended before it began: what it alone had was decided on by its fence':
    {
      make: change((seen) => {
        down(seen.node(STANDBY), { ...fenced, controlState: 'in production', controlTimeline: 4 });
        seen.node(PRIMARY).sql.replication = [];
      }),
      ledger: ledgerOf(STANDBY),
      does: [`rejoin ${STANDBY}`, `forget-claim ${STANDBY}`],
      why: `it is fenced by ${RUN}, which is over`,
      first: { check: 'E2', upstream: PRIMARY },
    },
  'a fenced node on a newer timeline, and no ledger says whose primary is right: people decide': {
    make: change((seen) => {
      down(seen.node(STANDBY), { ...fenced, claimedBy: null, controlState: 'in production', controlTimeline: 4 });
      seen.node(PRIMARY).sql.replication = [];
    }),
    does: ['nothing'],
    why: "nothing can be done without a person's decision",
  },
  'a fenced node on a newer timeline, and the ledger names another primary: people decide': {
    make: change((seen) => {
      down(seen.node(STANDBY), { ...fenced, claimedBy: null, controlState: 'in production', controlTimeline: 4 });
      seen.node(PRIMARY).sql.replication = [];
    }),
    ledger: { ...ledgerOf(PRIMARY), primary: STANDBY },
    does: ['nothing'],
    why: "nothing can be done without a person's decision",
  },
  'the agent of a standby says nothing in a container that runs, and its server is dead': {
    make: change((seen) => {
      silent(seen.node(STANDBY));
      seen.node(PRIMARY).sql.replication = [];
    }),
    does: [`rejoin ${STANDBY}`],
    why: 'its agent and its PostgreSQL give no answer',
    first: { check: 'E4', upstream: PRIMARY },
  },
  'the server of a standby hangs': {
    make: change((seen) => {
      down(seen.node(STANDBY), { postgresState: 'running' });
      seen.node(PRIMARY).sql.replication = [];
    }),
    does: [`rejoin ${STANDBY}`],
    why: 'its PostgreSQL runs and gives no answer',
    first: { check: 'E4' },
  },

  // Leave alone
  'a standby answers nobody but streams: it is slow': {
    make: change((seen) => silent(seen.node(STANDBY))),
    does: ['nothing'],
    why: '',
  },
  'a standby answers nobody, and Docker restarts its container': {
    make: change((seen) => {
      silent(seen.node(STANDBY));
      seen.node(STANDBY).container.status = 'restarting';
      seen.node(PRIMARY).sql.replication = [];
    }),
    does: ['nothing'],
    why: '',
  },
  'a live run holds a node': {
    make: () => {
      const seen = promoted();
      down(seen.node(PRIMARY), held);
      return seen;
    },
    liveRuns: [RUN],
    does: ['nothing'],
    why: '',
    primary: STANDBY,
  },
  'a live run holds clients': {
    make: change((seen) =>
      Object.assign(seen.observed.pooler.agent ?? {}, { holdRun: RUN, holdRemainingMs: 900, claimedBy: RUN }),
    ),
    liveRuns: [RUN],
    does: ['nothing'],
    why: '',
  },
  'a standby starts': {
    make: change((seen) => {
      down(seen.node(STANDBY), { postgresState: 'starting' });
      seen.node(PRIMARY).sql.replication = [];
    }),
    does: ['nothing'],
    why: '',
  },
  'a standby catches up': {
    make: change((seen) => {
      const [row] = seen.node(PRIMARY).sql.replication;
      if (row !== undefined) Object.assign(row, { state: 'catchup', syncState: 'potential' });
    }),
    does: ['nothing'],
    why: '',
  },
  'the primary keeps WAL for a standby that is away, and Docker does not answer': {
    make: change((seen) => {
      seen.node(STANDBY).container.error = 'no answer';
      Object.assign(seen.node(PRIMARY).sql.slots[0] ?? {}, { active: false, retainedBytes: 900 });
    }),
    does: ['nothing'],
    why: '',
  },
};

const words = ({ actions }: RepairDecision) =>
  actions.map(({ kind, node }) => (node === undefined ? kind : `${kind} ${node}`));

describe('a repair', () => {
  test.each(Object.entries(cases))('%s', (_what, { make, ledger, liveRuns, does, why, first, ...rest }) => {
    const seen = make();
    const decision = decideRepair(seen.topology, seen.observed, { ledger, liveRuns });
    expect(words(decision)).toEqual(does);
    expect(decision.actions[0]?.why).toContain(why);
    expect(decision.actions[0]).toMatchObject(first ?? {});
    expect(decision.primary).toBe('primary' in rest ? rest.primary : PRIMARY);
    for (const action of decision.actions) {
      expect(action.check).toMatch(/^[A-L]\d+$/);
      expect(action.why).not.toMatch(/undefined|null|NaN|\[object/);
    }
    expect(decision.says).not.toMatch(/undefined|null|NaN|\[object/);
  });

  test.each<[string, () => Picture]>([
    ['two nodes', () => picture()],
    ['two nodes after a switchover', () => turned(picture())],
    [
      'three nodes',
      change((seen) => {
        seen.node(PRIMARY).sql.settings.synchronous_standby_names = 'ANY 1 (veloz_standby)';
        for (const row of seen.node(PRIMARY).sql.replication) row.syncState = 'quorum';
      }, true),
    ],
  ])('of a healthy cluster of %s does nothing and finds nothing', (_what, make) => {
    const seen = make();
    const decision = decideRepair(seen.topology, seen.observed);
    expect(decision).toEqual({
      findings: [],
      actions: [{ kind: 'nothing', why: 'the cluster is as it should be', check: 'K6' }],
      primary: seen.observed.pooler.console?.host,
      says: 'the cluster is as it should be',
    });
  });

  test.each([
    ['hangs still', 'running'],
    ['has ended', 'exited'],
  ])('brings back a node that a run took off its networks and that %s', (_what, status) => {
    const seen = promoted();
    stopped(seen.node(PRIMARY));
    const offNetworks = { by: 'run', home: 'veloz-ha' } as const;
    Object.assign(seen.node(PRIMARY).container, { status, running: status === 'running', offNetworks });
    const { actions } = decideRepair(seen.topology, seen.observed);
    expect(actions.find(({ kind }) => kind === 'rejoin')).toMatchObject({
      node: PRIMARY,
      check: 'E4',
      why: 'a run that could not end it took it off its Docker networks',
    });
  });

  test('leaves a node that a person took off its networks, with the command', () => {
    const seen = promoted();
    stopped(seen.node(PRIMARY));
    Object.assign(seen.node(PRIMARY).container, { offNetworks: { by: 'somebody', home: 'veloz-ha' } });
    const { actions, findings } = decideRepair(seen.topology, seen.observed);
    expect(actions.filter(({ kind }) => kind === 'rejoin')).toEqual([]);
    const told = findings.filter(({ next }) => next === `docker network connect veloz-ha ${PRIMARY}`);
    expect(told.map(({ id, result }) => `${id} ${result}`)).toContain('E4 refuse');
  });

  test('tells every finding with its command, and all that it does in one sentence', () => {
    const seen = picture();
    Object.assign(seen.node(PRIMARY).agent ?? {}, { claimedBy: RUN });
    seen.node(PRIMARY).sql.settings.synchronous_standby_names = '';
    const decision = decideRepair(seen.topology, seen.observed);
    expect(decision.says).toBe(`2 things to put right: restore-names ${PRIMARY}, forget-claim ${PRIMARY}`);
    expect(decision.findings.map(({ id }) => id)).toEqual(expect.arrayContaining(['B2', 'E1']));
    for (const { next } of decision.findings) expect(next).toBeTruthy();
  });

  test('never fences or promotes while one node is writable', () => {
    for (const { make, ledger } of Object.values(cases)) {
      const seen = make();
      if (seen.observed.nodes.filter(({ sql }) => sql !== null && !sql.inRecovery).length !== 1) continue;
      const kinds = decideRepair(seen.topology, seen.observed, { ledger }).actions.map(({ kind }) => kind);
      for (const kind of ['fence', 'failover', 'start-primary']) expect(kinds).not.toContain(kind);
    }
  });
});
