import { hashesIn, leftNotes, planUp } from '../../src/cli/stack-left';
import type { ComposeContainer } from '../../src/systems/compose-containers';

const HASH = 'a'.repeat(64);
const OTHER = 'b'.repeat(64);
const wanted = new Map(['postgres-primary', 'postgres-standby', 'haproxy'].map((service) => [service, HASH]));
const container = (service: string, more: Partial<ComposeContainer> = {}): ComposeContainer => ({
  name: `veloz-${service}`,
  service,
  stands: true,
  older: false,
  settings: HASH,
  ...more,
});

test('what runs is not named to Compose, whatever its image: it would be made anew', () => {
  const containers = [
    container('postgres-primary', { older: true, settings: OTHER }),
    container('postgres-standby', { settings: OTHER }),
    container('haproxy', { stands: false, older: true, settings: OTHER }),
  ];
  expect(planUp(containers, wanted)).toEqual({
    services: ['haproxy'],
    left: { older: ['veloz-postgres-primary'], otherSettings: ['veloz-postgres-standby'] },
  });
});

test('nothing is left to do where all of it runs as it would be made', () => {
  expect(
    planUp(
      [...wanted.keys()].map((service) => container(service)),
      wanted,
    ),
  ).toEqual({
    services: [],
    left: { older: [], otherSettings: [] },
  });
});

test('what is not meant, what has no container, and what Compose wrote nothing of', () => {
  const containers = [
    container('postgres-standby-2', { older: true }),
    { name: 'veloz-postgres-primary', service: 'postgres-primary', stands: true, older: false },
  ];
  expect(planUp(containers, wanted)).toEqual({
    services: ['postgres-standby', 'haproxy'],
    left: { older: ['veloz-postgres-standby-2'], otherSettings: [] },
  });
  expect(planUp(containers, wanted, ['postgres-primary', 'postgres-standby']).services).toEqual(['postgres-standby']);
});

test('what is not meant to be up and runs all the same is told, where it is not what would be made now', () => {
  const containers = [
    ...['postgres-primary', 'postgres-standby'].map((service) => container(service)),
    container('postgres-standby-2', { older: true }),
    container('haproxy', { settings: OTHER }),
    container('engine-1', { stands: false, older: true }),
  ];
  expect(planUp(containers, wanted, ['postgres-primary', 'postgres-standby'])).toEqual({
    services: [],
    left: { older: ['veloz-postgres-standby-2'], otherSettings: ['veloz-haproxy'] },
  });
});

test('the hashes of Compose, beside what else it says', () => {
  expect(hashesIn(`haproxy ${HASH}\nsome warning\nengine-1 ${OTHER}\n`)).toEqual(
    new Map([
      ['haproxy', HASH],
      ['engine-1', OTHER],
    ]),
  );
});

test('what was left is told with the next step', () => {
  expect(leftNotes({ older: [], otherSettings: [] })).toEqual([]);
  expect(leftNotes({ older: ['a', 'b'], otherSettings: ['c'] })).toEqual([
    'left as they run, with an older image: a, b. Next: docs/upgrade.md says how they are made anew, one at a time',
    'left as they run, with other settings than the Compose file and this environment say: c. Next: docs/upgrade.md says how they are made anew, one at a time',
  ]);
});
