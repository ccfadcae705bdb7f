import { disagreement, ownSettingsOf } from '../../../src/cluster/failover/own-settings';

describe('what the files of a primary say of whom its commits wait for', () => {
  test.each<[string, string[], object]>([
    ['the last word counts', ["synchronous_standby_names = 'a'", "synchronous_standby_names = 'b'"], { names: 'b' }],
    ['within a file, too', ["synchronous_standby_names = 'a'\nsynchronous_standby_names = ''"], { names: '' }],
    [
      'a comment says nothing',
      ["synchronous_standby_names = 'a' # was b\n#synchronous_standby_names = ''"],
      { names: 'a' },
    ],
    ['quotes', ["synchronous_standby_names = 'ANY 1 (\"it''s\")'"], { names: 'ANY 1 ("it\'s")' }],
    ['no sign, no quotes, capitals', ['Synchronous_Standby_Names veloz_standby'], { names: 'veloz_standby' }],
    ['a file that was never written', ["synchronous_standby_names = 'a'", ''], { names: 'a' }],
    [
      'commits that wait for nobody',
      ["synchronous_standby_names = 'a'\nsynchronous_commit = 'LOCAL'"],
      { names: 'a', weak: 'synchronous_commit is LOCAL' },
    ],
    [
      'a value that is none of those that wait',
      ["synchronous_standby_names = 'a'\nsynchronous_commit = 'o\\146f'"],
      { names: 'a', weak: 'synchronous_commit is o\\146f' },
    ],
    ['commits that wait, in capitals', ["synchronous_standby_names = 'a'\nsynchronous_commit = 'ON'"], { names: 'a' }],
    ['commits that wait', ["synchronous_standby_names = 'a'\nsynchronous_commit = remote_apply"], { names: 'a' }],
    ['no word at all', ["wal_level = 'replica'"], { problem: 'they say nothing of synchronous_standby_names' }],
  ])('%s', (_what, files, expected) => expect(ownSettingsOf(files)).toEqual(expected));

  test('is held against the ledger', () => {
    expect(disagreement({ names: 'veloz_standby' }, ' veloz_standby ')).toBeUndefined();
    expect(disagreement({ problem: 'no answer' }, 'veloz_standby')).toBeUndefined();
    expect(disagreement({ names: '' }, 'veloz_standby')).toBe(
      "its files say synchronous_standby_names = '', and the ledger 'veloz_standby'",
    );
    expect(disagreement({ names: 'veloz_standby', weak: 'synchronous_commit is off' }, 'veloz_standby')).toBe(
      'its files say that synchronous_commit is off',
    );
  });
});
