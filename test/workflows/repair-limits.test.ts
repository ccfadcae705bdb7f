import type { RepairTask } from '../../src/cluster/repair/round';
import { withinLimits } from '../../src/workflows/repair-look';

describe("a repair within a person's limits", () => {
  const release = { kind: 'release', node: 'veloz-pgbouncer', why: 'clients are paused' } as RepairTask;

  test.each<[string, { unattended?: boolean; pausedByHand?: boolean }, boolean]>([
    ['a person let go what a person paused', { pausedByHand: true }, true],
    ['the guard let go what a run left', { unattended: true, pausedByHand: false }, true],
    ['the guard let go what an older agent says is paused', { unattended: true }, true],
    ['the guard leave what a person paused', { unattended: true, pausedByHand: true }, false],
  ])('lets %s', (_what, limits, done) => {
    expect(withinLimits([release], limits)).toEqual(done ? [release] : []);
  });

  test('no pooler is started where what decides who takes writes is left out', () => {
    const tasks = [
      { kind: 'start-primary', node: 'veloz-postgres-primary' },
      { kind: 'start-pooler', node: 'veloz-pgbouncer' },
    ] as RepairTask[];
    expect(withinLimits(tasks, {})).toEqual(tasks);
    expect(withinLimits(tasks, { leave: ['veloz-postgres-primary'] })).toEqual([]);
    expect(withinLimits(tasks, { copied: ['veloz-postgres-primary'] })).toEqual([]);
  });
});
