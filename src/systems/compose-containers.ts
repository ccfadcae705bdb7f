import type Docker from 'dockerode';

/** A container that Docker Compose made. */
export interface ComposeContainer {
  name: string;
  service: string;
  /** It runs, or is frozen: to make it anew would end what it does. */
  stands: boolean;
  /** Another image goes by the name of its own by now. */
  older: boolean;
  /** The hash of the settings that it was made with, as Compose wrote it down; absent where it did not. */
  settings?: string;
}

const LABEL = 'com.docker.compose';

/**
 * The containers of a project, in the order of their names.
 * @throws Error when the engine does not answer
 */
export async function composeContainers(docker: Docker, project: string): Promise<ComposeContainer[]> {
  const filters = { label: [`${LABEL}.project=${project}`] };
  const found = await docker.listContainers({ all: true, filters });
  const seen = await Promise.all(found.map(({ Id }) => lookAt(docker, Id)));
  return seen.filter((each) => each !== undefined).sort((a, b) => a.name.localeCompare(b.name));
}

async function lookAt(docker: Docker, id: string): Promise<ComposeContainer | undefined> {
  try {
    const { Name, Image, Config, State } = await docker.getContainer(id).inspect();
    const labels = Config.Labels as Record<string, string | undefined>;
    const settings = labels[`${LABEL}.config-hash`];
    const named = await idOf(docker, Config.Image);
    return {
      name: Name.replace(/^\//, ''),
      service: labels[`${LABEL}.service`] ?? '',
      stands: State.Status === 'running' || State.Status === 'paused',
      // An image that is gone has no newer one.
      older: named !== undefined && named !== Image,
      ...(settings === undefined ? {} : { settings }),
    };
  } catch (error) {
    // It was removed meanwhile.
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function idOf(docker: Docker, image: string): Promise<string | undefined> {
  try {
    return (await docker.getImage(image).inspect()).Id;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

const isMissing = (error: unknown): boolean => (error as { statusCode?: number }).statusCode === 404;
