import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { serverArguments } from '../../src/cli/actions/temporal';
import { composeArguments, postgresServices } from '../../src/cli/compose';
import { uiLink } from '../../src/cli/links';
import { nearest } from '../../src/cli/nearest';
import { findTemporalBinary, stateDirectory } from '../../src/cli/paths';
import { newRunId, whoami } from '../../src/cli/who';
import { T0 } from '../report/made-up';

test('the link leads to the run in the Web UI, its slashes encoded', () => {
  expect(uiLink({}, 'default', 'switchover/veloz/x', 'r1')).toBe(
    'http://localhost:8233/namespaces/default/workflows/switchover%2Fveloz%2Fx/r1',
  );
  expect(uiLink({ VELOZ_HA_UI: 'https://temporal.example/' }, 'prod', 'x')).toBe(
    'https://temporal.example/namespaces/prod/workflows/x',
  );
});

test('a run’s id tells runbook, cluster and time', () => {
  expect(newRunId('switchover', 'veloz', T0, '9f3a')).toBe('switchover/veloz/20251123T032011Z-9f3a');
  expect(newRunId('switchover', 'veloz', T0)).toMatch(/^switchover\/veloz\/20251123T032011Z-[0-9a-f]{4}$/);
});

test('behind sudo it is the person who acts', () => {
  expect(whoami({ SUDO_USER: 'ops' })).toMatch(/^ops@.+/);
  expect(whoami({})).toMatch(/^.+@.+/);
});

test('the nearest word, and none when none is near', () => {
  expect(nearest('stpo', ['start', 'stop', 'status'])).toBeUndefined();
  expect(nearest('stopp', ['start', 'stop', 'status'])).toBe('stop');
  expect(nearest('xyz', ['stop'])).toBeUndefined();
});

test('state lives where it is told to, else where the user’s state lives', () => {
  expect(stateDirectory({ VELOZ_HA_STATE: '/x' })).toBe('/x');
  expect(stateDirectory({ XDG_STATE_HOME: '/y' })).toBe('/y/veloz-ha');
  expect(stateDirectory({})).toBe(join(homedir(), '.local/state/veloz-ha'));
});

test('the temporal binary: VELOZ_HA_TEMPORAL, then the one of set-up, then PATH', () => {
  const folder = mkdtempSync(join(tmpdir(), 'veloz-ha-'));
  const find = (env: NodeJS.ProcessEnv) => findTemporalBinary(env, folder);
  try {
    const make = (name: string, mode = 0o755) => {
      mkdirSync(join(folder, name), { recursive: true });
      writeFileSync(join(folder, name, 'temporal'), '');
      chmodSync(join(folder, name, 'temporal'), mode);
      return join(folder, name, 'temporal');
    };
    const onPath = make('a');
    const named = make('b');
    make('not-executable', 0o644);
    const PATH = `${folder}/not-executable:${folder}/a`;
    expect(find({ PATH: '' })).toBeUndefined();
    expect(find({ PATH })).toBe(onPath);
    const ofSetUp = make('.cache/veloz-ha/bin');
    expect(find({ PATH })).toBe(ofSetUp);
    expect(find({ PATH, VELOZ_HA_TEMPORAL: named })).toBe(named);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the server is started with tuned hand-overs and the search attributes of runs', () => {
  expect(serverArguments({ port: 7233 }, '/x.db').join(' ')).toBe(
    'server start-dev --port 7233 --ui-port 8233 --db-filename /x.db --log-level error' +
      ' --search-attribute VelozCluster=Keyword --search-attribute VelozRunbook=Keyword --search-attribute VelozPhase=Keyword' +
      ' --search-attribute VelozOutcome=Keyword --search-attribute VelozHeldMs=Int' +
      ' --dynamic-config-value history.transferProcessorMaxPollRPS=2000' +
      ' --dynamic-config-value history.timerProcessorMaxPollRPS=2000' +
      ' --dynamic-config-value history.timerProcessorMaxTimeShift="10ms"' +
      ' --dynamic-config-value matching.numTaskqueueReadPartitions=1' +
      ' --dynamic-config-value matching.numTaskqueueWritePartitions=1' +
      ' --dynamic-config-value matching.longPollExpirationInterval="500ms"',
  );
});

test('compose acts on this project alone, and on the second standby only when it is meant', () => {
  expect(composeArguments(1, ['up', '-d'])).toEqual([
    '-f',
    'docker/docker-compose.ha.yml',
    '-p',
    'veloz-ha',
    'up',
    '-d',
  ]);
  expect(composeArguments(2, ['down'])).toContain('--profile');
  expect(postgresServices(1)).toEqual(['postgres-primary', 'postgres-standby', 'pgbouncer']);
  expect(postgresServices(2)).toContain('postgres-standby-2');
});
