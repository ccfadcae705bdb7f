import { hindrance, type OtherNode } from '../../../src/cluster/repair/old-primary';

const standby: OtherNode = { name: 'standby', inRecovery: true, timeline: 3, promotion: null };

describe('may the old primary be a primary again?', () => {
  test('yes, when every other node answers as a standby on its timeline, and also when there is none', () => {
    expect(hindrance(3, [standby, { ...standby, name: 'another', timeline: 2 }])).toBeUndefined();
    expect(hindrance(3, [])).toBeUndefined();
  });

  test.each<[string, Partial<OtherNode>, string]>([
    ['one gives no answer', { silent: 'timeout' }, 'standby gives no answer: timeout'],
    ['one takes writes', { inRecovery: false }, 'standby takes writes'],
    ['one is on a newer timeline', { timeline: 4 }, 'standby is on timeline 4, newer than 3'],
  ])('no, when %s', (_, rest, says) => {
    expect(hindrance(3, [{ ...standby, ...rest }])).toEqual({ says, passing: false });
  });

  test('no, when the timeline of one is not known', () => {
    expect(hindrance(3, [{ name: 'standby', inRecovery: true }])).toMatchObject({ passing: false });
  });

  test('no, when one that may be in its place has no container: that one has to come back first', () => {
    expect(hindrance(3, [{ name: 'standby', silent: 'no such container', missing: true }])).toEqual({
      says: 'standby has no container',
      passing: false,
      first: 'standby',
    });
  });

  test('no, when the ledger names a primary of a newer timeline, whoever answers', () => {
    expect(hindrance(3, [standby], { primary: 'promoted', timeline: 4 })).toEqual({
      says: "the guard's ledger names promoted as the primary, on timeline 4, newer than 3",
      passing: false,
      first: 'promoted',
    });
    expect(hindrance(3, [standby], { primary: 'old', timeline: 3 })).toBeUndefined();
    expect(hindrance(3, [standby], { primary: null, timeline: 4 })).toBeUndefined();
  });

  test('not yet, when the promotion of one was asked for: it may be through in a moment', () => {
    expect(hindrance(3, [{ ...standby, promotion: 'failover/veloz/1' }])).toEqual({
      says: 'standby was asked for its promotion by failover/veloz/1',
      passing: true,
    });
  });
});
