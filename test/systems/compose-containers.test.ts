import type Docker from 'dockerode';
import { composeContainers } from '../../src/systems/compose-containers';

const missing = () => Promise.reject(Object.assign(new Error('no such thing'), { statusCode: 404 }));

/** An engine with these containers, in which a name stands for these images. */
function engine(
  containers: Record<string, { image: string; runs: string; status: string; hash?: string } | undefined>,
  images: Record<string, string>,
): Docker {
  return {
    listContainers: ({ filters }: { filters: { label: string[] } }) => {
      expect(filters.label).toEqual(['com.docker.compose.project=veloz-ha']);
      return Promise.resolve(Object.keys(containers).map((Id) => ({ Id })));
    },
    getContainer: (id: string) => ({
      inspect: () => {
        const its = containers[id];
        if (its === undefined) return missing();
        const Labels = {
          'com.docker.compose.service': id,
          ...(its.hash === undefined ? {} : { 'com.docker.compose.config-hash': its.hash }),
        };
        return Promise.resolve({
          Name: `/veloz-${id}`,
          Image: its.runs,
          Config: { Image: its.image, Labels },
          State: { Status: its.status },
        });
      },
    }),
    getImage: (name: string) => ({
      inspect: () => (images[name] === undefined ? missing() : Promise.resolve({ Id: images[name] })),
    }),
  } as unknown as Docker;
}

test('an image is older where another one goes by its name', async () => {
  const docker = engine(
    {
      primary: { image: 'pg:17', runs: 'old', status: 'running', hash: 'h' },
      pooler: { image: 'bouncer', runs: 'same', status: 'paused' },
      engine: { image: 'gone', runs: 'x', status: 'exited' },
      crashing: { image: 'bouncer', runs: 'same', status: 'restarting' },
      removed: undefined,
    },
    { 'pg:17': 'new', bouncer: 'same' },
  );
  expect(await composeContainers(docker, 'veloz-ha')).toEqual([
    { name: 'veloz-crashing', service: 'crashing', stands: false, older: false },
    { name: 'veloz-engine', service: 'engine', stands: false, older: false },
    { name: 'veloz-pooler', service: 'pooler', stands: true, older: false },
    { name: 'veloz-primary', service: 'primary', stands: true, older: true, settings: 'h' },
  ]);
});
