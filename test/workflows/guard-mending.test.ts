import type { MembersWatchResult } from '../../src/activities';
import type { LeftOver } from '../../src/cluster/guard/mending';
import type { GuardEvent, GuardState } from '../../src/workflows/guard-messages';
import { STANDBY } from '../cluster/support/picture';
import { dead, GuardedCluster } from './support/guarded-cluster';
import { WorkflowServer } from './support/server';

const says = ({ events }: GuardState, kind: GuardEvent['kind']) =>
  events.filter((each) => each.kind === kind).map((each) => each.says);
const fenced: LeftOver = { node: STANDBY, says: 'it is fenced by a run that is over', key: 'fenced', settleMs: 5000 };
const due: MembersWatchResult = { why: 'due', leftOver: [fenced], due: [STANDBY], byHand: ['veloz-third'] };

/** What the guard does about what a fault left: what it sees is scripted, and the repair is a stand-in. */
describe('guard, of what is left over', () => {
  let server: WorkflowServer;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('./support/guard-workflows'));
  });
  afterAll(() => server.close());

  test('in auto it is brought back by a repair that nobody has to approve, and that leaves alone what people stopped', async () => {
    const cluster = new GuardedCluster(server, { mode: 'auto' });
    await cluster.protected(async () => {
      await cluster.seesMembers(due);
      const { input, end } = await cluster.run('repair');
      expect(input).toMatchObject({
        approval: 'given',
        unattended: true,
        leave: ['veloz-third'],
        startedBy: `guard of ${cluster.name}`,
        reason: `${STANDBY}: ${fenced.says}`,
      });
      // Containers through which clients come need no run: the one that goes on is not waited for.
      const beside = await cluster.seesMembers({ ...due, why: 'sees', due: [] }, ({ known }) => known.length === 1);
      expect(beside).toMatchObject({ mayAct: false, mayStart: true });
      await end({ says: 'it is a standby again' });
      await cluster.seesMembers({ why: 'sees', leftOver: [], due: [], byHand: [] }, ({ known }) => known.length === 1);
      const state = await cluster.until('the end', ({ mending }) => mending?.nodes.length === 0);
      expect(says(state, 'mended')).toEqual([`${STANDBY} is a standby again after 1 attempt`]);
    });
  });

  test('a repair leaves the nodes that the guard leaves: what is in their way has to change first', async () => {
    const cluster = new GuardedCluster(server, { mode: 'auto' });
    const cutOff: LeftOver = { ...fenced, node: 'veloz-far', key: 'cut off', leaves: "it can't reach the primary" };
    await cluster.protected(async () => {
      await cluster.seesMembers({ ...due, leftOver: [cutOff, fenced] });
      const { input, end } = await cluster.run('repair');
      expect(input).toMatchObject({ leave: ['veloz-third', 'veloz-far'] });
      await end({ says: 'it is a standby again' });
    });
  });

  test('a repair leaves a node whose own repair was in vain a moment ago, until its time has come', async () => {
    const cluster = new GuardedCluster(server, { mode: 'auto', backoff: '20s' });
    const other: LeftOver = { ...fenced, node: 'veloz-other', key: 'other' };
    await cluster.protected(async () => {
      await cluster.seesMembers({ ...due, byHand: [] }, ({ mayAct }) => mayAct);
      const first = await cluster.run('repair');
      expect(first.input).not.toHaveProperty('leave');
      await first.end({ type: 'Failed', says: 'no room' });
      await cluster.until('its end', ({ mending }) => mending?.nodes[0]?.last === 'no room');
      await cluster.seesMembers(
        { why: 'due', leftOver: [fenced, other], due: [other.node], byHand: [] },
        ({ mayAct }) => mayAct,
      );
      const second = await cluster.run('repair');
      expect(second.input).toMatchObject({ leave: [STANDBY] });
      await second.end({ says: 'it is a standby again' });
      const state = await cluster.until('its end', ({ mending }) => mending?.nodes[1]?.last !== undefined);
      expect(state.mending?.nodes.map(({ attempts }) => attempts)).toEqual([1, 1]);
    });
  });

  test('a container that the watch started is told of, and no run follows', async () => {
    const cluster = new GuardedCluster(server, { mode: 'auto' });
    const started = ['veloz-pgbouncer was started again: its container is exited, exit code 137'];
    await cluster.protected(async () => {
      await cluster.seesMembers({ why: 'sees', leftOver: [], due: [], byHand: [], started });
      const state = await cluster.until('the event', (each) => says(each, 'mended').length > 0);
      expect(says(state, 'mended')).toEqual(started);
      expect(state.mending).toEqual({ nodes: [] });
    });
  });

  test('one that was told to stop while it hung is not told as running again', async () => {
    const cluster = new GuardedCluster(server, { mode: 'auto' });
    const node = 'veloz-redis-sentinel-3';
    const hangs: LeftOver = {
      node,
      says: 'its process does not answer',
      key: 'hangs',
      settleMs: 10_000,
      started: true,
    };
    const started = [`${node} was ended, and stays so: somebody told it to stop meanwhile. Next: docker start ${node}`];
    await cluster.protected(async () => {
      await cluster.seesMembers({ why: 'sees', leftOver: [hangs], due: [], byHand: [] });
      await cluster.seesMembers({ why: 'sees', leftOver: [], due: [], byHand: [], started });
      const state = await cluster.until('the news', (seen) => says(seen, 'mending').includes(started[0] ?? ''));
      expect(says(state, 'mended')).toEqual([]);
    });
  });

  test('a standby that the watch started and that answers ends the back-off of a failover that was refused for it', async () => {
    const cluster = new GuardedCluster(server, { mode: 'auto', backoff: '10m' });
    const started = [`${STANDBY} was started again: its container is exited, exit code 137`];
    await cluster.protected(async () => {
      await cluster.sees(dead());
      const first = await cluster.run();
      await first.end({ type: 'Refused', says: `A2: ${STANDBY} gives no answer` });
      await cluster.until('the back-off', ({ backoffUntil }) => backoffUntil !== undefined);
      await cluster.seesMembers({ why: 'sees', leftOver: [], due: [], byHand: [], started, answering: [STANDBY] });
      const state = await cluster.until('its end', ({ backoffUntil }) => backoffUntil === undefined);
      expect(says(state, 'mended')).toEqual(started);
      await cluster.sees(dead(), ({ known }) => !known.failed);
      expect((await cluster.run()).id).not.toBe(first.id);
    });
  });

  test('an attempt that is in vain is followed by another, later each time, and at once when something has changed', async () => {
    const cluster = new GuardedCluster(server, { mode: 'auto', backoff: '20s' });
    await cluster.protected(async () => {
      const once = async (key: string) => {
        const request = await cluster.seesMembers(
          { ...due, leftOver: [{ ...fenced, key }], due: [STANDBY], byHand: [] },
          ({ mayAct }) => mayAct,
        );
        const { end } = await cluster.run('repair');
        await end({ type: 'Failed', says: 'no room' });
        return { request, state: await cluster.state() };
      };
      const wait = ({ mending }: GuardState) => (mending?.nodes[0]?.nextAt ?? 0) - (mending?.nodes[0]?.lastAt ?? 0);
      const first = await once('fenced');
      expect(first.state.mending?.nodes[0]).toMatchObject({ attempts: 1, last: 'no room' });
      expect(wait(first.state)).toBe(20_000);
      // What is so after the attempt is what the next change is told from.
      await cluster.seesMembers({ why: 'sees', leftOver: [fenced], due: [], byHand: [] }, ({ mayAct }) => mayAct);
      const second = await once('fenced');
      expect(second.request.known).toEqual([
        {
          node: STANDBY,
          says: fenced.says,
          key: 'fenced',
          notBefore: expect.any(Number) as unknown,
          waitMs: expect.any(Number) as unknown,
        },
      ]);
      // What is left of the pause, whatever the worker's clock says.
      expect(second.request.known[0]?.waitMs).toBeGreaterThan(0);
      expect(second.request.known[0]?.waitMs).toBeLessThanOrEqual(20_000);
      expect(wait(second.state)).toBe(40_000);
      await cluster.seesMembers({ why: 'sees', leftOver: [fenced], due: [], byHand: [] }, ({ mayAct }) => mayAct);
      expect(wait((await once('network back')).state)).toBe(20_000);
    });
  });

  test('a repair that gave way to others was no attempt in vain, and is soon tried again', async () => {
    const cluster = new GuardedCluster(server, { mode: 'auto', backoff: '20s' });
    await cluster.protected(async () => {
      await cluster.seesMembers(due);
      const { end } = await cluster.run('repair');
      await end({ type: 'Incomplete', says: 'it gave way', report: { gaveWay: true } });
      const [node] = (await cluster.state()).mending?.nodes ?? [];
      expect(node).toMatchObject({ attempts: 0, last: 'it gave way' });
      expect((node?.nextAt ?? 0) - (node?.lastAt ?? 0)).toBe(2000);
    });
  });

  test.each(['approve', 'off'] as const)('in %s it is told, and nothing is done', async (mode) => {
    const cluster = new GuardedCluster(server, { mode });
    await cluster.guarded(async () => {
      const request = await cluster.seesMembers({ why: 'sees', leftOver: [fenced], due: [], byHand: [] });
      expect(request).toMatchObject({ mayAct: false, mayStart: false });
      const state = await cluster.until('it being told', ({ mending }) => mending?.nodes.length === 1);
      expect(says(state, 'mending')).toEqual([`${STANDBY}: ${fenced.says}`]);
      expect(state.mending?.acting).toBeUndefined();
    });
  });
});
