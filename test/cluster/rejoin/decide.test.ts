import { decideRejoin, type ComparedNode, type RejoinDecision } from '../../../src/cluster/rejoin/decide';

type Local = ComparedNode['local'];

/** A primary on timeline 3, which left timeline 1 at 0/3000000 and timeline 2 at 0/5000000. */
const upstream = { systemIdentifier: '77', timeline: 3, writable: true, lsn: '0/7000000' };
const history = [
  { timeline: 1, endLsn: '0/3000000' },
  { timeline: 2, endLsn: '0/5000000' },
];
const before = (timeline: number) => history.filter((entry) => entry.timeline < timeline);

/** A node that crashed on timeline 2, a MiB beyond where the primary left it. */
const compared = (local: Partial<Local> = {}, primary: Partial<typeof upstream> = {}): ComparedNode => ({
  upstream: { ...upstream, ...primary },
  history,
  local: {
    systemIdentifier: '77',
    timeline: 2,
    state: 'in production',
    checkpointLsn: '0/4000028',
    walEnd: '0/5100000',
    checksums: true,
    rewindBegun: false,
    dataBytes: 35_000_000,
    history: before(local.timeline ?? 2),
    ...local,
  },
});

interface Case {
  local?: Partial<Local>;
  primary?: Partial<typeof upstream>;
  method?: 'auto' | 'copy';
  is: RejoinDecision['method'];
  why: string;
  at?: { divergedAt: string; divergedTimeline: number };
  lost?: number;
}

const MIB = 1024 ** 2;
const at = (divergedTimeline: number, divergedAt: string) => ({ divergedAt, divergedTimeline });

const cases: Record<string, Case> = {
  'it ends exactly where the primary left its timeline': {
    local: { walEnd: '0/5000000' },
    is: 'none',
    why: 'its WAL ends at 0/5000000 on timeline 2, which the primary left only at 0/5000000',
    lost: 0,
  },
  'it ends before that': { local: { walEnd: '0/4FFFFFF' }, is: 'none', why: 'its WAL ends at 0/4FFFFFF', lost: 0 },
  'it is on a timeline before that, and within it': {
    local: { timeline: 1, walEnd: '0/2000000' },
    is: 'none',
    why: 'on timeline 1, which the primary left only at 0/3000000',
    lost: 0,
  },
  'it is a standby of this very primary that was away': {
    local: { timeline: 3, walEnd: '0/6000000', state: 'shut down in recovery' },
    is: 'none',
    why: "its WAL ends at 0/6000000 on the primary's timeline 3, and the primary is at 0/7000000",
    lost: 0,
  },
  'it wrote on after the primary had left its timeline': {
    is: 'rewind',
    why: 'its WAL ends at 0/5100000 on timeline 2, 1.0 MiB beyond 0/5000000, where the primary left timeline 2',
    at: at(2, '0/5000000'),
    lost: MIB,
  },
  'it wrote on by a single byte': {
    local: { walEnd: '0/5000001' },
    is: 'rewind',
    why: '1 bytes beyond',
    at: at(2, '0/5000000'),
    lost: 1,
  },
  'it wrote on, two promotions ago': {
    local: { timeline: 1, walEnd: '0/3000400' },
    is: 'rewind',
    why: '1 KiB beyond 0/3000000, where the primary left timeline 1',
    at: at(1, '0/3000000'),
    lost: 1024,
  },
  'the same, and nobody knows its own history': {
    local: { history: undefined },
    is: 'rewind',
    why: 'where the primary left timeline 2',
    at: at(2, '0/5000000'),
    lost: MIB,
  },
  'its WAL can’t be read to its end, and it left the history': {
    local: { walEnd: null },
    is: 'rewind',
    why: "its WAL can't be read to its end, and the primary left timeline 2 at 0/5000000",
    at: at(2, '0/5000000'),
  },
  'it was promoted too, on a timeline that the primary never had': {
    local: { timeline: 4, walEnd: '0/7200000', history: [...history, { timeline: 3, endLsn: '0/6800000' }] },
    is: 'rewind',
    why: 'beyond 0/6800000, where the primary left timeline 3',
    at: at(4, '0/6800000'),
    lost: 10 * MIB,
  },
  'it was promoted from a timeline that the primary had left before': {
    local: { timeline: 4, walEnd: '0/5200000', history: [...before(2), { timeline: 2, endLsn: '0/4800000' }] },
    is: 'rewind',
    why: 'beyond 0/4800000',
    at: at(4, '0/4800000'),
    lost: 10 * MIB,
  },
  'the same, and nobody knows its own history: where it left is unknown': {
    local: { timeline: 4, history: undefined },
    is: 'copy',
    why: "nobody knows where its timeline 4 left the history of the primary's timeline 3",
  },
  'both were promoted to the same number, apart from each other': {
    local: {
      timeline: 3,
      walEnd: '0/5100000',
      state: 'in archive recovery',
      history: [...before(2), { timeline: 2, endLsn: '0/4F00000' }],
    },
    is: 'copy',
    why: 'both promoted to a timeline 3, apart from each other, at 0/4F00000',
    at: at(3, '0/4F00000'),
    lost: 2 * MIB,
  },
  'both were promoted at the same point, and it wrote less': {
    local: { timeline: 3, walEnd: '0/5100000', wasPrimary: true },
    is: 'copy',
    why: `it was itself a primary on the primary's timeline 3 (its control file says "in production"): both took writes there, apart from each other since 0/5000000 at the earliest`,
    at: at(3, '0/5000000'),
    lost: MIB,
  },
  'the same, it wrote more, and it ended cleanly': {
    local: { timeline: 3, walEnd: '0/7100000', state: 'shut down', wasPrimary: true },
    is: 'copy',
    why: 'it was itself a primary',
    at: at(3, '0/5000000'),
    lost: 33 * MIB,
  },
  'the same, and its WAL can’t be read': {
    local: { timeline: 3, walEnd: null, state: 'in crash recovery', wasPrimary: true },
    is: 'copy',
    why: 'it was itself a primary',
    at: at(3, '0/5000000'),
  },
  'both were promoted at different points, and both were primaries': {
    local: {
      timeline: 3,
      walEnd: '0/5100000',
      wasPrimary: true,
      history: [...before(2), { timeline: 2, endLsn: '0/4F00000' }],
    },
    is: 'copy',
    why: 'apart from each other since 0/4F00000 at the earliest',
    at: at(3, '0/4F00000'),
    lost: 2 * MIB,
  },
  'both were primaries at the same point, and nobody knows its own history': {
    local: { timeline: 3, walEnd: '0/5100000', wasPrimary: true, history: undefined },
    is: 'copy',
    why: 'since 0/5000000 at the earliest',
    at: at(3, '0/5000000'),
    lost: MIB,
  },
  'the same by an agent that says only its state': {
    local: { timeline: 3, walEnd: '0/5100000', state: 'shutting down' },
    is: 'copy',
    why: 'it was itself a primary',
    at: at(3, '0/5000000'),
    lost: MIB,
  },
  'it is a copy of this very primary that was never started': {
    local: { timeline: 3, walEnd: '0/6000000', wasPrimary: false },
    is: 'none',
    why: 'its WAL ends at 0/6000000',
    lost: 0,
  },
  'it was the primary before, and was stopped cleanly in a switchover': {
    local: { walEnd: '0/5000000', state: 'shut down', wasPrimary: true },
    is: 'none',
    why: 'its WAL ends at 0/5000000 on timeline 2, which the primary left only at 0/5000000',
    lost: 0,
  },
  'it was the primary before, and was killed': {
    local: { wasPrimary: true },
    is: 'rewind',
    why: '1.0 MiB beyond 0/5000000, where the primary left timeline 2',
    at: at(2, '0/5000000'),
    lost: MIB,
  },
  'it is ahead on the same timeline': {
    local: { timeline: 3, walEnd: '0/7000100', state: 'in archive recovery' },
    is: 'copy',
    why: 'it is 256 bytes ahead of the primary on the same timeline 3',
    at: at(3, '0/7000000'),
    lost: 256,
  },
  'it is on the same timeline and its WAL can’t be read': {
    local: { timeline: 3, walEnd: null, state: 'in archive recovery' },
    is: 'copy',
    why: "the end of its WAL can't be read, and it is on the primary's own timeline 3",
    at: at(3, '0/7000000'),
  },
  'it has no data': {
    local: { systemIdentifier: null, timeline: null, state: null, checkpointLsn: null, walEnd: null, checksums: false },
    is: 'copy',
    why: 'it has no readable data directory',
  },
  'its control file is nothing but zeros': {
    local: { systemIdentifier: '0', timeline: 3, walEnd: null, checksums: false },
    is: 'copy',
    why: 'it has no readable data directory',
  },
  'a rewind was begun and not finished': {
    local: { rewindBegun: true },
    is: 'copy',
    why: 'a rewind was begun on it and did not end',
    at: at(2, '0/5000000'),
    lost: MIB,
  },
  'neither checksums nor hint logging': {
    local: { checksums: false },
    is: 'copy',
    why: "where the primary left timeline 2; without checksums or hint logging it can't be rewound",
    at: at(2, '0/5000000'),
    lost: MIB,
  },
  'no checksums, but nothing to rewind either': {
    local: { checksums: false, walEnd: '0/5000000' },
    is: 'none',
    why: 'its WAL ends at 0/5000000',
    lost: 0,
  },
  'a copy is asked for, although nothing would have to be done': {
    local: { walEnd: '0/5000000' },
    method: 'copy',
    is: 'copy',
    why: 'a full copy was asked for',
    lost: 0,
  },
  'a copy is asked for, and something is lost by it': {
    method: 'copy',
    is: 'copy',
    why: 'a full copy was asked for',
    at: at(2, '0/5000000'),
    lost: MIB,
  },
  'its data is another database system’s': {
    local: { systemIdentifier: '99' },
    is: 'refuse',
    why: "its data belongs to another database system (99, the primary's is 77), and would be gone",
  },
  'the same, and a copy is asked for': { local: { systemIdentifier: '99' }, method: 'copy', is: 'refuse', why: '99' },
  'what it should follow is a standby': { primary: { writable: false }, is: 'refuse', why: 'is no primary' },
};

describe('nothing, a rewind, or a full copy, by the timeline histories', () => {
  test.each(Object.entries(cases))('%s', (_what, { local, primary, method = 'auto', is, why, at: where, lost }) => {
    const decision = decideRejoin(compared(local, primary), { method });
    expect(decision.method).toBe(is);
    expect(decision.why).toContain(why);
    if (decision.method === 'refuse') return;
    expect(decision).toEqual({
      method: is,
      why: decision.why,
      ...where,
      ...(lost === undefined ? {} : { lostBytes: lost }),
    });
    expect(decision.why).not.toMatch(/undefined|null|NaN/);
  });

  test('both were primaries on the first timeline: where they parted is not known, and neither is what is lost', () => {
    const compare = compared({ timeline: 1, walEnd: '0/2000000', wasPrimary: true, history: [] }, { timeline: 1 });
    expect(decideRejoin({ ...compare, history: [] }, { method: 'auto' })).toEqual({
      method: 'copy',
      why: `it was itself a primary on the primary's timeline 1 (its control file says "in production"): both took writes there, apart from each other`,
    });
  });
});
