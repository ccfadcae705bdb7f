import { sampled as test } from './support/sample';
import { cli, docker, thenAlways, trading, whole } from './support/stack';

const IMAGE = 'veloz-ha/haproxy:3.0';
const KEPT = 'veloz-ha/haproxy:e2e';
const CONTAINER = 'veloz-haproxy';
const idOf = (what: string): string => docker('inspect', '-f', '{{.Id}}', what).trim();

describe('stack up beside containers that run', () => {
  test('leaves one whose image was built anew as it runs, and names it', async () => {
    const container = idOf(CONTAINER);
    docker('tag', IMAGE, KEPT);
    let built = '';
    await thenAlways(
      async () => {
        docker('commit', CONTAINER, IMAGE);
        built = idOf(IMAGE);
        expect(built).not.toBe(idOf(KEPT));
        const up = await cli(['stack', 'up', '-o', 'json']);
        expect(up).toMatchObject({ code: 0 });
        expect(up.stderr).toContain(`left as they run, with an older image: ${CONTAINER}. Next: docs/upgrade.md`);
        expect(JSON.parse(up.stdout)).toMatchObject({ stack: { left: { older: [CONTAINER] } } });
        expect(idOf(CONTAINER)).toBe(container);
      },
      () => {
        docker('tag', KEPT, IMAGE);
        docker('image', 'rm', KEPT);
        if (built !== '') docker('image', 'rm', built);
      },
    );
    const up = await cli(['stack', 'up', '-o', 'json']);
    expect(JSON.parse(up.stdout)).toMatchObject({ stack: { left: { older: [] } } });
  });

  test('starts what is stopped, and nothing else', async () => {
    const nodes = ['veloz-postgres-primary', 'veloz-pgbouncer'];
    const before = nodes.map(idOf);
    docker('stop', CONTAINER);
    expect(await cli(['stack', 'up'])).toMatchObject({ code: 0 });
    expect(nodes.map(idOf)).toEqual(before);
    await whole();
    await trading();
  });
});
