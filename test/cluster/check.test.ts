import { headline, problemSentence, refusalSentence, splitNext, type Check } from '../../src/cluster/check';

const good: Check = { id: 'A1', says: 'the sky is up', result: 'ok', measured: 'up' };
const refused: Check = {
  id: 'B5',
  says: 'the standby has nearly everything',
  refusal: 'the standby is too far behind',
  result: 'refuse',
  measured: '12.0 MiB not flushed there',
  limit: 'at most 10.0 MiB',
  next: 'veloz-ha postgres status',
};
const warned: Check = { ...refused, id: 'C5', result: 'warn' };

describe('a refusal', () => {
  test('says in this order what, measured, limit and next command', () => {
    expect(refusalSentence([good, refused])).toBe(
      'B5: the standby is too far behind: 12.0 MiB not flushed there (limit: at most 10.0 MiB). Next: veloz-ha postgres status',
    );
  });

  test('keeps the command last, so that it can be copied, also with an aside', () => {
    expect(refusalSentence([refused], 'Nothing was changed')).toMatch(
      /10\.0 MiB\)\. Nothing was changed\. Next: veloz-ha postgres status$/,
    );
  });

  test('names the others that refuse, and leaves warnings out', () => {
    const sentence = refusalSentence([warned, refused, { ...refused, id: 'B6' }, good, { ...refused, id: 'F1' }]);
    expect(sentence).toMatch(/^B5: /);
    expect(sentence).toContain('. Also refused: B6, F1. Next:');
    expect(sentence).not.toContain('C5');
  });

  test('is none when nothing refuses', () => {
    expect(refusalSentence([])).toBeUndefined();
    expect(refusalSentence([good, warned, { ...good, result: 'skip' }])).toBeUndefined();
  });

  test('without words of its own is made from the statement', () => {
    const bare: Check = { id: 'X1', says: 'the door is shut', result: 'refuse', measured: 'open' };
    expect(refusalSentence([bare])).toBe('X1: it is not so that the door is shut: open.');
  });
});

test('a headline says what is so, or what is wrong', () => {
  expect(headline(good)).toBe('the sky is up');
  expect(headline(refused)).toBe('the standby is too far behind');
  expect(headline(warned)).toBe('the standby is too far behind');
  expect(headline({ ...refused, result: 'ok' })).toBe('the standby has nearly everything');
});

test('a problem has no next command in it', () => {
  expect(problemSentence(warned)).toBe(
    'C5: the standby is too far behind: 12.0 MiB not flushed there (limit: at most 10.0 MiB)',
  );
});

describe('the next command', () => {
  test('is split from the sentence before it', () => {
    expect(splitNext(refusalSentence([refused]) ?? '')).toEqual({
      what: 'B5: the standby is too far behind: 12.0 MiB not flushed there (limit: at most 10.0 MiB)',
      next: 'veloz-ha postgres status',
    });
  });

  test('is not there in a text without one', () => {
    expect(splitNext('It broke.')).toEqual({ what: 'It broke.' });
  });
});
