import { createActivities, type Activities, type MoveRequest } from '../../src/activities';
import { createDockerClient } from '../../src/systems/docker';
import { loadTopology } from '../../src/systems/topology-file';
import { look, psql, roles, whole } from './support/stack';

/** Every activity may run twice, or again after its worker died: the second time finds the work done and changes nothing. */
describe('the activities of a switchover, called twice each', () => {
  let activities: Activities;
  let move: MoveRequest;
  beforeAll(async () => {
    await whole();
    activities = createActivities({
      topology: loadTopology(),
      identity: 'e2e',
      docker: createDockerClient(),
      environment: process.env,
      handoverCost: () => undefined,
      lockHolder: () => Promise.resolve(undefined),
    });
  });
  beforeEach(async () => {
    const { primary, standby } = await roles();
    const seen = await look();
    move = {
      cluster: 'veloz',
      run: `e2e/activities/${process.pid}/${Date.now()}`,
      source: primary,
      target: standby,
      others: [],
      protection: 'zero-loss',
      holdLimitMs: 5000,
      pauseLimitMs: 2000,
      timeline: seen.nodes.find((node) => node.name === primary)?.sql?.timeline ?? 0,
    };
  });
  afterEach(() => whole());

  const slotsOf = (node: string) =>
    psql(node, 'SELECT slot_name FROM pg_replication_slots ORDER BY 1')
      .split('\n')
      .filter((name) => name !== '');

  test('prepare and its undo leave no slot of the source on the target', async () => {
    const slot = move.source.replace(/-/g, '_');
    // It may have one from when it was the primary: a rejoin that was ended in its middle drops none.
    const others = slotsOf(move.target).filter((name) => name !== slot);
    const said = await activities.prepareMove(move);
    expect(await activities.prepareMove(move)).toBe(said);
    expect(slotsOf(move.target)).toContain(slot);
    await activities.unprepareMove(move);
    await activities.unprepareMove(move);
    expect(slotsOf(move.target)).toEqual(others);
    await activities.releaseNodes(move);
  });

  test('prepare for "fast" relaxes the target only, and its undo tightens it again', async () => {
    const names = (node: string) => psql(node, 'SHOW synchronous_standby_names');
    const before = names(move.target);
    await activities.prepareMove({ ...move, protection: 'fast' });
    expect([names(move.source), names(move.target)]).toEqual([before, '']);
    await activities.unprepareMove({ ...move, protection: 'fast' });
    expect([names(move.source), names(move.target)]).toEqual([before, before]);
    await activities.releaseNodes(move);
  });

  test('the move happens once: called again it reports the same roles and holds nobody', async () => {
    await activities.prepareMove(move);
    await activities.checkpointNodes(move);
    const first = await activities.movePrimary(move);
    expect(first.subSteps.map((part) => part.id)).toEqual([
      'open',
      'flush',
      'hold',
      'stop',
      'received',
      'fence',
      'promote',
      'route',
      'restart',
      'confirm',
      'release',
    ]);
    expect(first.confirmedBeforeRelease).toBe(true);

    const again = await activities.movePrimary(move);
    expect(again.subSteps.map((part) => part.id)).not.toContain('hold');
    expect(again.canaryFailures).toBe(0);
    expect(await activities.rollBackMove(move)).toBe(false);

    const settled = await activities.settleMove(move);
    expect((await activities.settleMove(move)).timeline).toBe(settled.timeline);
    expect(settled.timeline).toBeGreaterThan(move.timeline);
    await activities.verifyMove(move, 0);
    await activities.releaseNodes(move);
    await activities.releaseNodes(move);
    expect(await roles()).toEqual({ primary: move.target, standby: move.source });
  });

  test('a roll-back where nothing has been moved changes nothing', async () => {
    expect(await activities.rollBackMove(move)).toBe(true);
    expect(await activities.rollBackMove(move)).toBe(true);
    await activities.releaseNodes(move);
    expect(await roles()).toEqual({ primary: move.source, standby: move.target });
  });

  test('verify refuses a state that this run did not bring about', async () => {
    await expect(activities.verifyMove(move, 0)).rejects.toThrow(`${move.source} is writable beside ${move.target}`);
    await expect(activities.verifyMove({ ...move, source: move.target, target: move.source }, 0)).rejects.toThrow(
      /was not promoted by this run/,
    );
  });

  test('a run that another run has replaced can change nothing any more', async () => {
    await activities.prepareMove(move);
    const later = { ...move, run: `${move.run}/later` };
    await activities.prepareMove(later);
    await expect(activities.prepareMove(move)).rejects.toThrow(new RegExp(`${later.run}|replaced`));
    await activities.unprepareMove(later);
    await activities.releaseNodes(later);
  });
});
