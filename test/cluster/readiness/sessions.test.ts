import { content, decide, notOk, objects, primary, standby } from '../support/objects';
import { picture, ready, STANDBY, STANDBY_2 } from '../support/picture';

objects({
  'search_path was set on the primary alone': {
    change: (seen) => {
      ready(primary(seen)).agent.sessionDefaults = { jit: 'off', search_path: 'app, public' };
      ready(standby(seen)).agent.sessionDefaults = { jit: 'off' };
    },
    id: 'M11',
    result: 'warn',
    says: "clients would meet other settings on veloz-postgres-standby than on veloz-postgres-primary: search_path is 'app, public' on veloz-postgres-primary, the default on veloz-postgres-standby (limit: the same",
    next: "pg_file_settings WHERE name IN ('search_path')",
  },
  'more settings differ than anybody reads': {
    change: (seen) => {
      ready(primary(seen)).agent.sessionDefaults = {};
      ready(standby(seen)).agent.sessionDefaults = Object.fromEntries('abcdefgh'.split('').map((name) => [name, 'x']));
    },
    id: 'M11',
    result: 'warn',
    says: "f is the default on veloz-postgres-primary, 'x' on veloz-postgres-standby; and 2 more",
    next: "'f')",
  },
});

content([
  [
    'M1',
    'settings that other checks tell',
    (seen) => {
      ready(primary(seen)).agent.sessionDefaults = { synchronous_commit: 'on' };
      ready(standby(seen)).agent.sessionDefaults = { synchronous_commit: 'remote_apply' };
    },
  ],
]);

test('a standby that is not the target, and an agent that is older, are not compared', () => {
  const seen = picture({ three: true });
  ready(primary(seen)).agent.sessionDefaults = { search_path: 'app' };
  ready(seen.node(STANDBY_2)).agent.sessionDefaults = {};
  expect(notOk(decide(seen, { target: STANDBY }))).toEqual([]);
});
