import { comparePositions, mostAdvanced, positionOf } from '../../../src/cluster/failover/candidates';
import { candidate, silent } from './support';

describe('the position of a standby', () => {
  test.each([
    ['0/5000000', '0/4000000', '0/5000000'],
    ['0/5000000', '0/6000000', '0/6000000'],
    ['0/FFFFFFFF', '1/0', '1/0'],
    ['0/5000000', null, '0/5000000'],
  ])('received %s, replayed %s: %s', (receivedLsn, replayedLsn, lsn) => {
    expect(positionOf(candidate({ receivedLsn, replayedLsn }))).toEqual({ timeline: 3, lsn });
  });

  test.each([
    ['0/6000000', '0/5000000', '0/6000000'],
    ['0/5000000', '0/6000000', '0/6000000'],
    ['0/5000000', null, '0/5000000'],
  ])('since it was started received nothing, %s on its disk, replayed %s: %s', (walEndLsn, replayedLsn, lsn) => {
    expect(positionOf(candidate({ receivedLsn: null, walEndLsn, replayedLsn }))).toEqual({ timeline: 3, lsn });
  });

  test.each([
    ['without an answer', silent('x')],
    ['with replayed alone: more may lie on its disk', candidate({ receivedLsn: null, replayedLsn: '0/6000000' })],
    [
      'while the end of what lies on its disk is unreadable',
      candidate({ receivedLsn: null, walEndLsn: null, replayedLsn: '0/6000000' }),
    ],
    ['without a timeline', candidate({ timeline: undefined })],
    ['with nothing received and nothing replayed', candidate({ receivedLsn: null, replayedLsn: null })],
  ])('is not known %s', (_what, state) => {
    expect(positionOf(state)).toBeUndefined();
  });
});

describe('the most advanced', () => {
  const standing = (name: string, timeline: number, lsn: string) => ({
    state: candidate({ name }),
    position: { timeline, lsn },
  });

  test('is on the newest timeline, then has the furthest position; equals keep their order', () => {
    const order = [
      standing('a', 3, '0/9000000'),
      standing('b', 4, '0/5000000'),
      standing('c', 4, '1/0'),
      standing('d', 4, '1/0'),
    ];
    expect(mostAdvanced(order).map(({ state }) => state.name)).toEqual(['c', 'd', 'b', 'a']);
  });

  test('positions are numbers and no texts', () => {
    expect(comparePositions({ timeline: 3, lsn: '0/10000000' }, { timeline: 3, lsn: '0/9000000' })).toBeGreaterThan(0);
    expect(comparePositions({ timeline: 3, lsn: '0/A' }, { timeline: 3, lsn: '0/0000000a' })).toBe(0);
  });
});
