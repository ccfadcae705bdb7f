import { refusalSentence } from '../../../src/cluster/check';
import { decide, notOk, openTransaction, primary, standby } from '../support/objects';
import { picture, PRIMARY, STANDBY, stopped, turned } from '../support/picture';

describe('a cluster in which nothing is wrong', () => {
  test('passes every check of the checklist, each once', () => {
    const { checks } = decide(picture({ three: true }));
    expect(checks.map(({ id }) => id).sort()).toEqual(
      [
        ...['A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'A7'],
        ...['B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8'],
        ...['C1', 'C2', 'C3', 'C4', 'C5', 'C6', 'C7', 'C8', 'C9', 'C10'],
        ...['D1', 'D2', 'D3', 'D5', 'E4', 'F1', 'F2', 'F4', 'K5'],
        // Of each of the three nodes.
        ...['M1', 'M1', 'M1', 'M2', 'M2', 'M2'],
      ].sort(),
    );
    expect(checks.filter(({ result }) => result !== 'ok').map(({ id, result }) => [id, result])).toEqual([
      ['B3', 'skip'],
      ['D1', 'skip'],
    ]);
  });

  test('shows what was measured, and says nothing of what to do', () => {
    for (const check of decide(picture()).checks) {
      expect(check.measured).not.toBe('');
      expect(check.next).toBeUndefined();
      expect(check.refusal).toBeUndefined();
    }
  });

  test('moves the primary to the standby', () => {
    expect(decide(picture())).toMatchObject({
      source: PRIMARY,
      target: STANDBY,
      others: [],
      protection: 'zero-loss',
      alreadyDone: false,
    });
  });

  test('moves it back when it is there', () => {
    const decision = decide(turned(picture()));
    expect(decision).toMatchObject({ source: STANDBY, target: PRIMARY });
    expect(notOk(decision)).toEqual([]);
  });

  test('keeps the protection of the request, else that of the cluster', () => {
    const seen = picture();
    seen.topology.protection = 'fast';
    expect(decide(seen).protection).toBe('fast');
    expect(decide(seen, { protection: 'zero-loss' }).protection).toBe('zero-loss');
  });

  test('is decided the same every time, and not changed by being looked at', () => {
    const seen = picture({ three: true });
    const before = structuredClone(seen.observed);
    expect(decide(seen)).toEqual(decide(seen));
    expect(seen.observed).toEqual(before);
  });
});

describe('what can wait is not even looked at', () => {
  test('two writable nodes are the only finding, whatever else is wrong', () => {
    const seen = picture();
    standby(seen).sql.inRecovery = false;
    seen.observed.docker = { ok: false };
    expect(decide(seen).checks.map(({ id }) => id)).toEqual(['A3']);
    expect(decide(seen).source).toBeUndefined();
  });

  test('a system that does not answer leaves nothing to decide on', () => {
    const seen = picture();
    stopped(standby(seen));
    const decision = decide(seen);
    expect(decision.checks.map(({ id }) => id)).toEqual(['E4']);
    expect(decision.source).toBeUndefined();
    expect(decision.target).toBeUndefined();
  });

  test('but all that is wrong with a target is said at once', () => {
    const seen = picture();
    standby(seen).sql.replayPaused = true;
    primary(seen).sql.openTransactions = [openTransaction];
    const decision = decide(seen);
    expect(notOk(decision)).toEqual(['B7', 'D3']);
    expect(refusalSentence(decision.checks)).toContain('Also refused: D3.');
  });
});

describe('a switchover to the node that is primary already', () => {
  test('is done, and checks no standby for it', () => {
    const seen = picture();
    standby(seen).sql.replayPaused = true;
    const decision = decide(seen, { target: PRIMARY });
    expect(decision).toMatchObject({ alreadyDone: true, source: PRIMARY, target: PRIMARY });
    expect(notOk(decision)).toEqual([]);
  });

  test('is refused when the request expects another primary', () => {
    const decision = decide(picture(), { target: PRIMARY, expectedPrimary: STANDBY });
    expect(decision.alreadyDone).toBe(false);
    expect(notOk(decision)).toEqual(['A1']);
  });
});
