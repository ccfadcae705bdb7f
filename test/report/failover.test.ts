import { evidenceTable } from '../../src/report/evidence';
import { failoverParts, lossSentence, quarantineSentence, rejoinSentence } from '../../src/report/failover';
import { reportMarkdown } from '../../src/report/markdown';
import { reportText } from '../../src/report/report';
import { visibleWidth } from '../../src/report/text';
import { UNLIMITED_LOSS } from '../../src/cluster/failover/commands';
import { LINK, plain } from './made-up';
import { failedOver, failoverFacts, rejoinFacts, signals } from './made-up-failover';

const dateTime = plain().dateTime;

test('the report of a failover: how it failed, what is lost, the evidence, and where the time went', () => {
  expect(reportText(failedOver, plain(), LINK)).toMatchInlineSnapshot(`
   "✔ COMPLETED  failover of veloz
     veloz-postgres-standby is the primary now: no acknowledged row was lost

     Primary          veloz-postgres-primary → veloz-postgres-standby
     Timeline         3 → 4
     Failed           veloz-postgres-primary is dead: its container is exited, and it has not answered
                      for 46 ms (connection reset)
     Fence            container exited, and fence.json written into its volume: whoever starts it gets
                      a fenced node
     RTO              clients went on 388 ms after the first sign
     RPO              nothing acknowledged is lost: the ledger said protected since 2025-11-23 03:16:06
                      UTC, every commit waited for veloz-postgres-standby
     Rejoined         veloz-postgres-primary is a standby, by rewind: its WAL goes 312 bytes beyond the
                      point at which timeline 4 left timeline 3. Took 1.13 s, 50.0 MB copied
     Quarantine       312 B of WAL with 2 commits that veloz-postgres-primary alone had; kept in
                      /var/lib/postgresql/veloz/quarantine/20251123T032013Z on the volume of
                      veloz-postgres-primary
     Protected again  since 2025-11-23 03:20:12 UTC, 1.66 s after the first sign
     Started          2025-11-23 03:20:11 UTC by guard of veloz, took 4.70 s

   Evidence
     TIME       AFTER  WAY                               FAILURE?   IT SAID
     03:20:11   +0 ms  sql                               ✖ for      connection reset
     03:20:11  +12 ms  docker                            ✖ for      the container is exited
     03:20:11  +31 ms  receiver veloz-postgres-standby   ✖ for      its WAL receiver has ended
     03:20:11  +44 ms  witness veloz-pgbouncer           ✖ for      connection refused
     03:20:11  +45 ms  agent                             – neither  no answer within 300 ms
     03:20:11  +46 ms  witness veloz-postgres-standby-2  ✔ against  it still sees the primary

   From the first sign until clients went on
     first sign, until it was certain  █████                                         46 ms
     fence the old primary                 ███████████                              103 ms
     promote                                          ███████████████               142 ms
     route clients                                                   █                9 ms
     the rest: looks and hand-overs                                  █████████       88 ms

   Steps
     #     STEP                                                 TOOK  MEASURED
     1  ✔  Fence veloz-postgres-primary, promote              330 ms  timeline 4
           veloz-postgres-standby, let clients go
     2  ✔  Make veloz-postgres-primary a standby again        1.13 s  rewind
     3  ✔  Protected again                                    120 ms
     4  ✔  Verify through the front door                      3.05 s

   Members now
     NODE                    ROLE     STATE      TL  LSN        LAG  SYNC
     veloz-postgres-standby  primary  running     4  0/4FF0028
     veloz-postgres-primary  standby  streaming   4  0/5000028  0 B  sync

   Next
     veloz-ha guard status                         says what is protected now
     docker logs --tail 20 veloz-postgres-primary  says why it died

   Run  failover/veloz/20251123T032011Z-9f3a
   Link http://localhost:8233/namespaces/default/workflows/x/y"
  `);
});

test('as Markdown, for the ticket of the incident', () => {
  const text = reportMarkdown(failedOver, LINK);
  expect(text).toContain('- **RPO**: nothing acknowledged is lost: the ledger said protected since');
  expect(text).toContain(
    '- **Quarantine**: 312 B of WAL with 2 commits that veloz-postgres-primary alone had; kept in',
  );
  expect(text).toContain('| 2025-11-23 03:20:11 UTC | +12 ms | docker | for | the container is exited |');
  expect(text).toContain('| promote | +149 ms | 142 ms |');
});

test('on a narrow terminal the evidence is a list, and no line is wider', () => {
  const text = evidenceTable(signals, plain({ width: 72 }));
  expect(text).toMatchInlineSnapshot(`
   "03:20:11    +0 ms  ✖ for      sql: connection reset
   03:20:11   +12 ms  ✖ for      docker: the container is exited
   03:20:11   +31 ms  ✖ for      receiver veloz-postgres-standby: its WAL
                                 receiver has ended
   03:20:11   +44 ms  ✖ for      witness veloz-pgbouncer: connection
                                 refused
   03:20:11   +45 ms  – neither  agent: no answer within 300 ms
   03:20:11   +46 ms  ✔ against  witness veloz-postgres-standby-2: it still
                                 sees the primary"
  `);
  expect(Math.max(...text.split('\n').map(visibleWidth))).toBeLessThanOrEqual(72);
});

test('every character is ASCII where the locale is not UTF-8', () => {
  expect(reportText(failedOver, plain({ unicode: false })).match(/[^\x20-\x7e\n]/g)).toBeNull();
});

test('the parts follow each other; what was not measured is left out, and what none accounts for stands last', () => {
  expect(failoverParts(failoverFacts).map(({ id, ms, atMs }) => [id, atMs, ms])).toEqual([
    ['detect', 0, 46],
    ['fence', 46, 103],
    ['promote', 149, 142],
    ['route', 291, 9],
    ['rest', 300, 88],
  ]);
  expect(failoverParts({ ...failoverFacts, detectMs: null, totalMs: null }).map(({ id }) => id)).toEqual([
    'fence',
    'promote',
    'route',
  ]);
  const refused = { ...failoverFacts, detectMs: null, fenceMs: null, promoteMs: null, routeMs: null, totalMs: null };
  expect(failoverParts(refused)).toEqual([]);
});

test.each([
  [{ ledger: null }, 'nothing acknowledged is lost'],
  [{ lossBound: 2048 }, 'at most 2.0 kB of WAL that the old primary may have acknowledged'],
  [{ lossBound: null }, 'not known: nothing bounds what was acknowledged and did not arrive'],
])('what is lost is said with its bound: %j', (more, expected) => {
  expect(lossSentence({ ...failoverFacts, ...more }, dateTime)).toBe(expected);
});

test('whoever accepted a loss stands beside it', () => {
  const dataLoss = { maxBytes: 16 * 1024 ** 2, reason: 'its disk is gone', by: 'ann@desk' };
  expect(lossSentence({ ...failoverFacts, lossBound: 2048, dataLoss }, dateTime)).toMatch(
    /\. Accepted up to 16\.0 MB by ann@desk: its disk is gone$/,
  );
  const any = { ...dataLoss, maxBytes: UNLIMITED_LOSS };
  expect(lossSentence({ ...failoverFacts, lossBound: null, dataLoss: any }, dateTime)).toContain(
    'Accepted whatever it is by ann@desk',
  );
});

test('a failover that promoted nobody speaks neither of loss nor of protection', () => {
  const refused = {
    ...failedOver,
    outcome: 'refused' as const,
    primaryAfter: undefined,
    protectedAgainMs: undefined,
    protectedSince: undefined,
    rejoin: undefined,
    steps: [],
  };
  const text = reportText({ ...refused, failover: { ...failoverFacts, lossBound: null, totalMs: null } }, plain());
  expect(text).not.toMatch(/RPO|Protected again/);
  expect(text).toContain('Evidence');
});

test('one that ended unprotected says so', () => {
  const text = reportText({ ...failedOver, protectedAgainMs: undefined, protectedSince: undefined }, plain());
  expect(text).toContain('Protected again  not yet: no synchronous standby had confirmed when the run ended');
});

test('a failover that a person asked for counts from its start, and has no first sign', () => {
  const failover = { ...failoverFacts, says: 'ops@desk said so', signals: [], detectMs: null, totalMs: null };
  const text = reportText({ ...failedOver, failover }, plain());
  expect(text).toContain('RTO              clients waited 388 ms');
  expect(text).toContain('1.66 s after the start');
  expect(text).not.toMatch(/Evidence|first sign/);
  expect(text).toContain('Where the time of the failover went\n');
});

test.each([
  ['none', null, 'veloz-postgres-primary is a standby, as it was: why. Took 1.13 s'],
  ['rewind', 1024, 'veloz-postgres-primary is a standby, by rewind: why. Took 1.13 s, 1.0 kB copied'],
  ['copy', 1024 ** 3, 'veloz-postgres-primary is a standby, by a full copy: why. Took 1.13 s, 1.0 GB copied'],
] as const)('how a node was rejoined: %s', (method, bytes, expected) => {
  expect(rejoinSentence({ ...rejoinFacts, why: 'why', method, bytes })).toBe(expected);
});

test('what only the rejoined node had is named with the place that keeps it', () => {
  expect(quarantineSentence({ ...rejoinFacts, lost: null, quarantine: null })).toBeUndefined();
  expect(quarantineSentence({ ...rejoinFacts, lost: { bytes: 80, commits: 1 }, quarantine: null })).toBe(
    '80 B of WAL with 1 commit that veloz-postgres-primary alone had; no evidence was kept',
  );
  expect(
    quarantineSentence({ ...rejoinFacts, lost: { bytes: 0, commits: 0, complete: false }, quarantine: '/q' }),
  ).toBe(
    'the WAL of veloz-postgres-primary could not be read to its end: 0 commits at least that it alone had; kept in /q on the volume of veloz-postgres-primary',
  );
  expect(quarantineSentence({ ...rejoinFacts, lost: { bytes: 80, commits: 1, kept: false }, quarantine: '/q' })).toBe(
    '80 B of WAL with 1 commit that veloz-postgres-primary alone had; only the beginning of it is listed in /q on the volume of veloz-postgres-primary',
  );
  expect(quarantineSentence({ ...rejoinFacts, lost: null, quarantine: '/q' })).toBe(
    'no WAL is known that veloz-postgres-primary alone had; its control file and settings are kept in /q on the volume of veloz-postgres-primary',
  );
});
