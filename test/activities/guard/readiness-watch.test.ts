import { ReadinessWatch } from '../../../src/activities/guard/readiness-watch';
import { HeldAgent } from '../../../src/activities/guard/held-agents';
import type { ObservedNode } from '../../../src/cluster/observed';
import { openPostgresAgent } from '../../../src/systems/agent';
import { readinessFindings, readinessKey } from '../../../src/cluster/readiness/findings';
import { guardTroubles } from '../../../src/report/guard-troubles';
import type { GuardState } from '../../../src/workflows/guard-messages';
import { primary, standby } from '../../cluster/support/objects';
import { picture, ready } from '../../cluster/support/picture';
import { FakeEngine, FakeServers, pause, PRIMARY, STANDBY, wellObserved } from './support/fake-engine';

/** What an agent says of such a node. */
const observed = ({ agent, sql }: ObservedNode) => ({
  ...wellObserved,
  dataDirectory: agent?.dataDirectory,
  upstream: agent?.upstream,
  archiveReady: 0,
  startGuard: null,
  token: null,
  deadman: null,
  signals: { standby: sql?.inRecovery === true },
  control: {
    state: agent?.controlState,
    timeline: agent?.controlTimeline,
    systemIdentifier: agent?.systemIdentifier,
    checksums: true,
  },
});

const leftover = { name: 'recovery_target_lsn', value: '0/1', file: '/x/postgresql.auto.conf', line: 3 };

test('a cluster with which nothing is wrong is ready, and one without a primary tells of that alone', () => {
  const seen = picture();
  expect(readinessFindings(seen.topology, seen.observed)).toEqual([]);
  ready(standby(seen)).agent.leftovers = [leftover];
  expect(readinessFindings(seen.topology, seen.observed).map(({ id }) => id)).toEqual(['M2']);
  Object.assign(primary(seen).sql, { inRecovery: true });
  expect(readinessFindings(seen.topology, seen.observed)).toEqual([]);
});

test('the same finding with other numbers is no news', () => {
  const seen = picture();
  const key = () => readinessKey({ at: 0, ready: false, findings: readinessFindings(seen.topology, seen.observed) });
  expect(key()).toBe('ready');
  primary(seen).sql.archiver.mode = 'on';
  ready(primary(seen)).agent.archive = { ready: 2, fileMs: 5000, presentMs: 10 };
  const first = key();
  ready(primary(seen)).agent.archive = { ready: 3, fileMs: 6000, presentMs: 10 };
  expect(key()).toBe(first);
  expect(first).toContain('D1');
});

test('a standby whose agent is silent is not ready, and no check judges what its agent said before', () => {
  const seen = picture();
  const node = standby(seen);
  ready(node).agent.leftovers = [leftover];
  Object.assign(node, { agent: null, readiness: { ...node.readiness, agent: null, agentError: 'no answer' } });
  const findings = readinessFindings(seen.topology, seen.observed);
  expect(findings).toEqual([expect.objectContaining({ id: 'E4', result: 'refuse', measured: 'no answer' })]);
  // Of a node that is never promoted it is no news.
  node.promotable = false;
  expect(readinessFindings(seen.topology, seen.observed)).toEqual([]);
});

test('an agent that is stopped once it has answered is told within some looks; once it answers, what it says counts again', async () => {
  const [engine, servers, seen] = [new FakeEngine(), new FakeServers(), picture()];
  const of = (node: string) => (node === PRIMARY ? primary(seen) : standby(seen));
  servers.answer = (node, sql) => ({ seen: sql.includes('defaults') ? ready(of(node)).sql : of(node).sql });
  engine.agent = (node, command) => (command === 'readiness' ? ready(of(node)).agent : observed(of(node)));
  const names = [PRIMARY, STANDBY];
  const agents = new Map(
    names.map((name) => [name, new HeldAgent(name, () => openPostgresAgent(engine.deps.docker, name))]),
  );
  const access = { ...servers.access(), node: (name: string) => ({ name, promotable: true, optional: false }) };
  const watch = new ReadinessWatch(access as never, agents, undefined, 600);
  const told = () => watch.news(undefined)?.findings.map(({ id }) => id) ?? [];
  const until = async (holds: () => boolean) => {
    for (let left = 150; left > 0 && !holds(); left--) await pause(100);
    expect(holds()).toBe(true);
  };
  watch.start();
  try {
    await until(() => watch.news(undefined) !== undefined);
    expect(told()).not.toContain('E4');
    engine.stopped.add(STANDBY);
    await until(() => told().includes('E4'));
    expect(watch.news(undefined)).toMatchObject({ ready: false });
    expect(engine.did).toEqual([]);
    await engine.docker.run(STANDBY, ['kill -CONT 1'], 100, { user: 'root' });
    await until(() => !told().includes('E4'));
  } finally {
    watch.close();
    for (const agent of agents.values()) agent.close();
  }
}, 30_000);

test('a guard that is protected and not ready is not well', () => {
  const seen = picture();
  ready(standby(seen)).agent.leftovers = [leftover];
  const findings = readinessFindings(seen.topology, seen.observed);
  const state = {
    signals: [],
    ledger: { state: 'protected' },
    readiness: { at: 0, ready: false, findings },
  } as unknown as GuardState;
  expect(guardTroubles(state, 0)).toEqual([expect.stringContaining('not ready: M2: leftovers of a restore')]);
});
