import { eventLine, guardFindings, guardLine, guardPart, guardText, noGuard } from '../../src/report/guard';
import { guardTroubles, whyUnhealthy } from '../../src/report/guard-troubles';
import { guardSection } from '../../src/report/status';
import type { GuardState } from '../../src/workflows/guard-messages';
import { LINK, plain, T0 } from './made-up';
import { acting, FAILOVER, guardWith, ledger, signals } from './made-up-failover';

const NOW = T0 + 1_200;
const degraded = { ...ledger, state: 'degraded' as const, synchronous: [], why: 'commits go on without a standby' };

test('a guard on a quiet day: what it sees, waits for and will do, its mode, its ledger', () => {
  expect(guardText(guardWith(), NOW, plain(), LINK)).toMatchInlineSnapshot(`
   "✔ PROTECTED  guard of veloz, mode auto

     Sees       veloz-postgres-primary answered in 2 ms and takes writes, on timeline 3
     Waits for  Something to happen.
     Next       veloz-postgres-primary dead: failover at once. veloz-postgres-primary silent: after 600
                ms, if others confirm it.

     Mode         auto: fails over by itself
     Ledger       protected since 2025-11-23 03:16:06 UTC (4 min 06 s): every commit waits for
                  veloz-postgres-standby
                  primary veloz-postgres-primary, timeline 3, epoch 7, confirming:
                  veloz-postgres-standby
     Guards       since 2025-11-23 03:15:11 UTC (5 min 01 s)

   Events
     03:15:11  started         started by ops@desk, mode auto
     03:16:06  ledger          protected: every commit waits for veloz-postgres-standby

   Run  guard/veloz
   Link http://localhost:8233/namespaces/default/workflows/x/y"
  `);
});

test('in the middle of a failover: the run to follow, and the evidence', () => {
  expect(guardText(acting, NOW, plain(), LINK)).toMatchInlineSnapshot(`
   "✖ ACTING: FAILOVER  guard of veloz, mode auto

     Sees       veloz-postgres-primary is dead: its container is exited
     Waits for  The end of failover failover/veloz/20251123T032011Z-9f3a.
     Next       It does nothing else before that.
     ▶ failover, since 03:20:11 (1 s)
       veloz-ha watch failover/veloz/20251123T032011Z-9f3a

     Mode         auto: fails over by itself
     Ledger       protected since 2025-11-23 03:16:06 UTC (4 min 06 s): every commit waits for
                  veloz-postgres-standby
                  primary veloz-postgres-primary, timeline 3, epoch 7, confirming:
                  veloz-postgres-standby
     Guards       since 2025-11-23 03:15:11 UTC (5 min 01 s)

   Evidence
     TIME       AFTER  WAY                              FAILURE?  IT SAID
     03:20:11   +0 ms  sql                              ✖ for     connection reset
     03:20:11  +12 ms  docker                           ✖ for     the container is exited
     03:20:11  +31 ms  receiver veloz-postgres-standby  ✖ for     its WAL receiver has ended
     03:20:11  +44 ms  witness veloz-pgbouncer          ✖ for     connection refused

   Events
     03:15:11  started         started by ops@desk, mode auto
     03:16:06  ledger          protected: every commit waits for veloz-postgres-standby
     03:20:11  in doubt        the session to veloz-postgres-primary was reset: looking harder
     03:20:11  primary failed  veloz-postgres-primary is dead: its container is exited
     03:20:11  failover        started the failover, clients are held
                               (failover/veloz/20251123T032011Z-9f3a)

   Run  guard/veloz
   Link http://localhost:8233/namespaces/default/workflows/x/y"
  `);
});

test('in mode approve the commands that decide stand beside it', () => {
  const text = guardText({ ...acting, mode: 'approve' }, NOW, plain());
  expect(text).toContain(`    veloz-ha approve ${FAILOVER}\n    veloz-ha reject ${FAILOVER}\n`);
});

test('maintenance, back-off and a degraded ledger are each said with their times', () => {
  const state = guardWith({
    ledger: degraded,
    maintenance: { by: 'ops@desk', why: 'kernel update', since: T0 - 60_000, until: T0 + 1_800_000 },
    backoffUntil: T0 + 30_000,
  });
  const text = guardText(state, T0, plain({ width: 140 }));
  expect(text).toMatch(/^✖ FAILED ATTEMPT: WAITING {2}guard of veloz, mode auto, MAINTENANCE\n/);
  expect(text).toContain(
    'Maintenance  on until 03:50:11 (30 min 00 s left), by ops@desk since 03:19:11: kernel update. Nothing fails over,',
  );
  expect(text).toContain('Back-off     nothing before 03:20:41 (30 s): the last attempt did not end well');
  expect(text).toContain('Ledger       degraded since 2025-11-23 03:16:06 UTC (4 min 05 s): commits go on');
  expect(text).toContain('confirming: none');
});

test('maintenance without an end says how it ends', () => {
  const maintenance = { by: 'ops@desk', since: T0, until: null };
  expect(guardText(guardWith({ maintenance }), T0, plain())).toContain('on until it is switched off, by ops@desk');
});

test.each<[string, Partial<GuardState>, string]>([
  ['the ledger is degraded', { ledger: degraded }, '! DEGRADED'],
  ['the ledger is unknown', { ledger: { ...ledger, state: 'unknown' } }, '! UNKNOWN'],
  ['it sees a sign of failure', { signals }, '✖ SIGNS OF FAILURE'],
  ['it waits after an attempt', { backoffUntil: NOW + 1 }, '✖ FAILED ATTEMPT: WAITING'],
  [
    'commits wait, and relaxing was refused',
    { namesFailed: { what: 'relax', says: 'A3: it may be a primary', at: T0 }, namesBackoffUntil: NOW + 9000 },
    '✖ COMMITS WAIT',
  ],
  ['it acts', { acting: acting.acting }, '✖ ACTING: FAILOVER'],
])('not well: %s', (_, more, head) => {
  const state = guardWith(more);
  expect(guardTroubles(state, NOW)).toHaveLength(1);
  expect(guardText(state, NOW, plain()).startsWith(`${head}  guard of veloz`)).toBe(true);
});

test('commits that wait since relaxing was refused: why, and when it is tried again', () => {
  const state = guardWith({
    namesFailed: { what: 'relax', says: 'A3: it may be a primary.', at: T0 },
    namesBackoffUntil: NOW + 9000,
  });
  expect(guardTroubles(state, NOW)).toEqual([
    `commits wait for a standby, and letting them go on did not end well: A3: it may be a primary; tried again at ${new Date(NOW + 9000).toISOString()}`,
  ]);
  expect(guardText(state, NOW, plain())).toMatch(/Commits +commits wait for a standby/);
});

test('well: an old back-off, a sign that speaks against a failure, maintenance that ends or has just begun', () => {
  const against = signals.filter((signal) => signal.speaks !== 'for');
  const hours = NOW - 5 * 3_600_000;
  for (const maintenance of [
    { by: 'ops@desk', since: T0, until: null },
    { by: 'ops@desk', since: hours, until: NOW + 1 },
  ]) {
    const state = guardWith({ backoffUntil: NOW, signals: against, maintenance });
    expect(whyUnhealthy(state, NOW)).toEqual([]);
    expect(guardText(state, NOW, plain())).toMatch(/^✔ PROTECTED {2}guard of veloz, mode auto, MAINTENANCE\n/);
  }
});

describe('a guard that does nothing by the word of a person', () => {
  const forgotten = { by: 'ops@desk', since: NOW - 2 * 3_600_000, until: null };

  test.each<[string, Partial<GuardState>, string, string]>([
    [
      'mode off',
      { mode: 'off' },
      'the guard is in mode off: nothing fails over by itself',
      'veloz-ha guard mode auto --cluster veloz',
    ],
    [
      'maintenance that has no end, for longer than an hour',
      { maintenance: forgotten },
      'maintenance has lasted for 2 h 00 min and has no end (limit: 1 h 00 min): nothing fails over, relaxes or fences',
      'veloz-ha guard maintenance off --cluster veloz',
    ],
  ])('%s: not green, exit code 8, and the command', (_, more, says, next) => {
    const state = guardWith(more);
    expect(guardTroubles(state, NOW)).toEqual([]);
    expect(whyUnhealthy(state, NOW)).toEqual([says]);
    const text = guardText(state, NOW, plain());
    expect(text).toMatch(/^! PROTECTED, NO FAILOVER {2}guard of veloz/);
    const line = guardLine({ guard: state }, NOW, plain());
    expect(line).toContain(`next  ${next}`);
    // Somebody chose it, as nobody has to guard at all.
    expect(guardFindings({ kind: 'guards', state }, 'veloz', NOW)).toEqual({ problems: [], hints: [{ says, next }] });
  });
});

test('the first line is green only where guard status exits with 0', () => {
  const node = { node: 'veloz-pgbouncer', says: 'it was told to stop', acts: false, attempts: 0 };
  const states = [
    guardWith(),
    guardWith({ mending: { nodes: [{ ...node, byHand: 'docker start veloz-pgbouncer' }] } }),
    guardWith({ mode: 'off' }),
    guardWith({ namesFailed: { what: 'restore', says: 'E2: busy', at: T0 } }),
    guardWith({ ledger: degraded }),
  ];
  for (const state of states)
    expect([state, guardText(state, NOW, plain()).startsWith('✔')]).toEqual([
      state,
      whyUnhealthy(state, NOW).length === 0,
    ]);
  expect(guardText(states[1]!, NOW, plain())).toMatch(/^! PROTECTED, NOT WELL /);
});

test('what the guard is not well with is a problem of status, in one line', () => {
  const node = { node: 'veloz-pgbouncer', says: 'it was told to stop', acts: false, attempts: 0 };
  const state = guardWith({ ledger: degraded, mending: { nodes: [node] } });
  expect(guardFindings({ kind: 'guards', state }, 'veloz', NOW)).toEqual({
    problems: [
      {
        says: 'the guard: veloz-pgbouncer: it was told to stop; the ledger says degraded: commits go on without a standby',
        next: 'veloz-ha guard status --cluster veloz',
      },
    ],
    hints: [],
  });
  expect(guardFindings({ kind: 'guards', state: guardWith() }, 'veloz', NOW)).toEqual({ problems: [], hints: [] });
  const nobody = guardFindings({ kind: 'nobody' }, 'veloz', NOW);
  expect(nobody.problems).toEqual([]);
  expect(nobody.hints[0]?.says).toBe('nobody guards cluster veloz: nothing fails over by itself');
});

test('times that the guard tells in UTC stand on the clock of the card', () => {
  const until = new Date(T0 + 90_000).toISOString();
  const state = guardWith({
    waitsFor: `The end of maintenance mode at ${until}.`,
    events: [{ at: T0, kind: 'maintenance', says: `on until ${until}` }],
  });
  const text = guardText(state, NOW, plain());
  expect(text).toContain('Waits for  The end of maintenance mode at 03:21:41.');
  expect(text).toContain('on until 03:21:41');
  expect(text).not.toContain(until);
});

test('what was told to stop is not laid at the door of a person; what is frozen is', () => {
  const node = { node: 'veloz-haproxy', says: 'it ended with exit code 143', acts: false, attempts: 0 };
  const next = (byHand: string) =>
    guardText(guardWith({ mending: { nodes: [{ ...node, byHand }] } }), NOW, plain({ width: 140 }));
  expect(next('docker start veloz-haproxy')).toContain(
    'It was told to stop, and stays so. Next: docker start veloz-haproxy',
  );
  expect(next('docker unpause veloz-haproxy')).toContain(
    'It stays so: a person did that. Next: docker unpause veloz-haproxy',
  );
});

test('the last events are shown, with -v all; days later with their dates', () => {
  const events = Array.from({ length: 12 }, (_, index) => ({
    at: T0 + index,
    kind: 'ledger' as const,
    says: `e${index}`,
  }));
  const few = guardText(guardWith({ events }), NOW, plain());
  expect(few).toContain('Last events (-v: all of them)');
  expect(few).not.toContain(' e3');
  expect(guardText(guardWith({ events }), NOW, plain({ verbose: true }))).toContain(' e0');
  expect(guardText(guardWith({ events }), T0 + 3 * 86_400_000, plain())).toContain('2025-11-23 03:20:11 UTC  ledger');
});

test('an event names the run that it is about', () => {
  expect(eventLine({ at: T0, kind: 'failover', says: 'started', run: 'failover-x' }, plain())).toBe(
    '03:20:11  failover        started (failover-x)',
  );
  expect(eventLine({ at: T0, kind: 'failover', says: 'started: failover-x', run: 'failover-x' }, plain())).toBe(
    '03:20:11  failover        started: failover-x',
  );
});

test('who watches, as a part of status', () => {
  const line = (more: Partial<GuardState>) => guardLine({ guard: guardWith(more) }, NOW, plain());
  expect(line({})).toMatchInlineSnapshot(`
   "✔ auto: fails over by itself
     ledger protected since 2025-11-23 03:16:06 UTC (4 min 06 s): every commit waits for
     veloz-postgres-standby"
  `);
  expect(line({ mode: 'off' })).toMatch(/^! off: watches and tells; nothing fails over by itself\n/);
  expect(line({ ledger: degraded })).toContain('    next  veloz-ha guard status --cluster veloz');
  expect(line({ acting: acting.acting })).toContain(`    veloz-ha watch ${FAILOVER}`);
});

test('nobody guards: one clear sentence and the next command', () => {
  const part = guardPart({ kind: 'nobody' }, 'veloz');
  expect(guardSection(part, NOW, plain()).join('')).toBe(
    'Guard\n  ! nobody guards cluster veloz: nothing fails over by itself\n      next  veloz-ha guard start --cluster veloz',
  );
  expect(guardSection({ guard: null }, NOW, plain())).toEqual([]);
  expect(part).toEqual({ guard: null, noGuard: noGuard({ kind: 'nobody' }, 'veloz') });
});

test('a guard that can’t be asked is not taken for one that watches', () => {
  const look = { kind: 'silent' as const, says: 'no worker answers', next: 'veloz-ha worker --detach' };
  expect(noGuard(look, 'veloz')).toEqual({
    says: "the guard can't be asked: no worker answers. While Temporal or every worker is away nothing fails over",
    next: 'veloz-ha worker --detach',
  });
  expect(guardPart({ kind: 'guards', state: acting }, 'veloz')).toEqual({ guard: acting });
});

test('every character is ASCII where the locale is not UTF-8', () => {
  expect(guardText(acting, NOW, plain({ unicode: false })).match(/[^\x20-\x7e\n]/g)).toBeNull();
});

describe('of Redis', () => {
  const redis = {
    master: 'veloz-redis-master',
    movedFrom: null,
    sees: 'veloz-redis-master answered in 1 ms',
    next: 'When veloz-redis-master is killed, or answers nobody for 2.50 s, a replica takes over.',
    signals: [],
  };
  const run = { workflowId: 'redis-failover-veloz-1', since: T0, what: 'redis failover', asks: false };
  const failing = { ...redis, sees: 'veloz-redis-master is dead', signals };

  test('the master, what is seen of it, and what follows', () => {
    const state = guardWith({ redis });
    expect(guardTroubles(state, NOW)).toEqual([]);
    expect(guardText(state, NOW, plain())).toContain(
      [
        '  Redis      master veloz-redis-master: veloz-redis-master answered in 1 ms',
        '             When veloz-redis-master is killed, or answers nobody for 2.50 s, a replica takes',
      ].join('\n'),
    );
  });

  test.each<[string, Partial<GuardState>, string]>([
    ['signs of a failure', { redis: failing }, '✖ REDIS: SIGNS OF FAILURE'],
    ['a run that goes on', { redis: { ...failing, acting: run } }, '✖ ACTING: REDIS FAILOVER'],
    ['an attempt that did not end well', { redis: { ...redis, backoffUntil: NOW + 1 } }, '! PROTECTED, NOT WELL'],
    [
      'a master that was replaced and is away',
      { redis: { ...redis, movedFrom: 'veloz-redis-replica' } },
      '! PROTECTED, NOT WELL',
    ],
    [
      'a node that is away, which is told in place of its not having come back',
      { redis: { ...redis, movedFrom: 'veloz-redis-replica', trouble: 'veloz-redis-replica is frozen' } },
      '! PROTECTED, NOT WELL',
    ],
  ])('not well: %s', (_, more, head) => {
    const state = guardWith(more);
    expect(guardTroubles(state, NOW)).toHaveLength(1);
    expect(guardText(state, NOW, plain()).startsWith(`${head}  guard of veloz`)).toBe(true);
  });

  test('the run, and in approve the commands that decide', () => {
    const asks = guardWith({ redis: { ...failing, acting: { ...run, asks: true } } });
    for (const text of [guardText(asks, NOW, plain()), guardLine({ guard: asks }, NOW, plain())]) {
      expect(text).toContain('    veloz-ha watch redis-failover-veloz-1\n    veloz-ha approve redis-failover-veloz-1');
    }
    expect(guardText(asks, NOW, plain())).toContain('Evidence');
  });
});

test('what nobody but a person ends is told as a trouble, with the command', () => {
  const hangs = { node: 'veloz-pgbouncer', says: 'no client gets an answer at the pooler', acts: false, attempts: 0 };
  const state = guardWith({
    mending: { nodes: [{ ...hangs, started: true, next: 'docker restart veloz-pgbouncer' }] },
  });
  expect(guardTroubles(state, NOW)).toContain('veloz-pgbouncer: no client gets an answer at the pooler');
  expect(guardText(state, NOW, plain({ width: 140 }))).toContain(
    'It stays so until a person ends it. Next: docker restart veloz-pgbouncer',
  );
});

test('what is tried once it has changed is told with the command that shows whether it has', () => {
  const full = { node: 'veloz-postgres-standby', says: 'it is fenced; its disk is full', acts: false, attempts: 1 };
  const look = 'docker exec veloz-postgres-standby df -h /var/lib/postgresql';
  const text = (node: object) =>
    guardText(guardWith({ mending: { nodes: [{ ...full, ...node }] } }), NOW, plain({ width: 180 }));
  expect(text({ look })).toContain(
    `Nothing is tried before that has changed; then it is brought back at once. Look: ${look}`,
  );
  // Told by a guard of an older version.
  expect(text({})).toContain('Nothing is tried before that has changed; then it is brought back at once.\n');
});
