import { failedCommand, refused, addElsewhere, topologyWith } from './support/refusal';
import { Rig } from './support/rig';
import { whole } from './support/stack';

const switchover = ['postgres', 'switchover', '--yes'];

describe('a switchover is refused when those who would carry it out are out of reach', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.start();
    await whole();
  });
  afterAll(() => rig.close());

  it('no worker polls the task queue', async () => {
    const { code, error } = await failedCommand(rig, switchover);

    expect(code).toBe(7);
    expect(error).toMatchObject({
      type: 'Unreachable',
      message: 'no worker polls the task queue veloz-ha',
      next: 'veloz-ha worker --detach',
    });
    expect(error.why).toContain('has seen 0 workers in the last 65 s (needed: 1)');
    // Nothing waits for the worker that comes next.
    const runs = [];
    for await (const run of rig.client.workflow.list()) runs.push(run.workflowId);
    expect(runs).toEqual([]);
  });

  describe('a worker that has no Docker socket, and two clusters without a default', () => {
    const socketPath = '/nonexistent/docker.sock';
    beforeAll(async () => {
      const topology = topologyWith(rig, (document) => {
        delete document.default;
        document.docker = { socketPath };
        addElsewhere(document);
      });
      await rig.worker(topology);
    });

    it('the Docker socket is missing', async () => {
      const { id, sentence, next } = await refused(rig, '--cluster', 'veloz');

      expect(id).toBe('E4');
      expect(sentence).toContain('the Docker engine is not ready: it does not answer: connect ENOENT');
      expect(sentence).toContain(`${socketPath} (limit: all of them answer)`);
      expect(next).toBe(`docker -H unix://${socketPath} version`);
    });

    it('nobody says which of two clusters is meant', async () => {
      const { code, error } = await failedCommand(rig, switchover);

      expect(code).toBe(2);
      expect(error).toMatchObject({
        type: 'BadInput',
        message: 'the topology has 2 clusters and no default: name one of veloz, elsewhere. Nothing was changed',
        next: 'veloz-ha postgres switchover --cluster veloz',
      });
    });
  });

  it('Temporal is gone', async () => {
    await rig.stand.killTemporal();
    const { code, error } = await failedCommand(rig, switchover);

    expect(code).toBe(7);
    expect(error).toEqual({
      type: 'Unreachable',
      message: `Temporal is not reachable at ${rig.stand.address}`,
      why: 'connection refused: nobody listens on that port',
      next: 'veloz-ha temporal --detach',
    });
  });
});
