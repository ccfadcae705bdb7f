import { engineDrain, engineReady, engineStatus, engineSwitchover } from '../../src/cli/actions/engine';
import { fakeCli, fakeIo } from './fake-io';

/** Nobody can be asked here: a command that is right gets as far as that. */
const cli = fakeCli({}, fakeIo({}));
const nobody = { type: 'BadInput', message: 'nobody can be asked here' };

test('each command asks before it starts anything, and names itself when it cannot', async () => {
  await expect(async () => engineSwitchover(cli, { to: 'veloz-engine-2' })).rejects.toMatchObject({
    ...nobody,
    detail: { next: expect.stringContaining('veloz-ha engine switchover --yes') as string },
  });
  await expect(async () => engineDrain(cli, {}, 'veloz-engine-1')).rejects.toMatchObject({
    ...nobody,
    detail: { next: expect.stringContaining('veloz-ha engine drain veloz-engine-1 --yes') as string },
  });
  await expect(async () => engineReady(cli, {}, 'veloz-engine-1')).rejects.toMatchObject({
    ...nobody,
    detail: { next: expect.stringContaining('veloz-ha engine ready veloz-engine-1 --yes') as string },
  });
});

test('a duration that is none is refused before anything is started', async () => {
  await expect(async () => engineSwitchover(cli, { soak: 'long' })).rejects.toMatchObject({
    type: 'BadInput',
    message: expect.stringContaining('soak') as string,
  });
});

test('status of a cluster that the topology does not know says so', async () => {
  await expect(engineStatus(cli, { cluster: 'nowhere' })).rejects.toMatchObject({ type: 'BadInput' });
});
