import type { Attachment, DockerClient } from './docker';

/*
 * Who took a container off its Docker networks? A run that could not end it leaves a mark in Docker itself: an empty volume for each
 * network, with labels. It outlives workers, runs and Temporal, is there for whoever asks the same engine, and is missing where a person
 * took the container off, whose decision that stays. One volume for each network, because the labels of a volume can't be changed.
 */

/** The label by which marks are found: its value is the container's name. */
const NODE = 'io.veloz.cut-off';
/** Docker's id of the container: one that was made anew under the same name was never taken off anything. */
const CONTAINER = 'io.veloz.cut-off.container';
const NETWORK = 'io.veloz.cut-off.network';
/** What it takes to put it there as it was, as JSON. */
const PLACE = 'io.veloz.cut-off.place';
const AT = 'io.veloz.cut-off.at';

/** A network that a run took a container off. */
export interface CutOffMark {
  volume: string;
  place: Attachment;
  /** It is about the container as it is now, and not about one of the same name before it. */
  current: boolean;
}

const volumeOf = (node: string, id: string, network: string): string =>
  `veloz-cut-off-${node}-${id.slice(0, 12)}-${network}`;

/** Leaves the mark that a run takes a container off a network. One that is there already stays. */
export function leaveMark(docker: DockerClient, node: string, id: string, place: Attachment): Promise<void> {
  return docker.createVolume(volumeOf(node, id, place.network), {
    [NODE]: node,
    [CONTAINER]: id,
    [NETWORK]: place.network,
    [PLACE]: JSON.stringify(place),
    [AT]: new Date().toISOString(),
  });
}

/** Takes the mark of one network away again: the container is still on it. */
export const dropMark = (docker: DockerClient, node: string, id: string, network: string): Promise<void> =>
  docker.removeVolume(volumeOf(node, id, network));

/** All marks of a container by its name. @param id Docker's id of the container that has the name now */
export async function marksOf(docker: Pick<DockerClient, 'volumes'>, node: string, id: string): Promise<CutOffMark[]> {
  return (await docker.volumes(`${NODE}=${node}`)).map(({ name, labels }) => ({
    volume: name,
    place: placeIn(labels),
    current: labels[CONTAINER] === id,
  }));
}

/** Removes the marks of containers that there are no more. @returns how many there were */
export async function sweepMarks(docker: DockerClient): Promise<number> {
  const marks = await docker.volumes(NODE);
  const gone = await Promise.all(
    marks.map(async ({ labels: { [CONTAINER]: id } }) => id === undefined || !(await docker.inspect(id)).exists),
  );
  const idle = marks.filter((_mark, index) => gone[index]);
  for (const { name } of idle) await docker.removeVolume(name);
  return idle.length;
}

function placeIn(labels: Readonly<Record<string, string>>): Attachment {
  const network = labels[NETWORK] ?? '';
  try {
    const place = JSON.parse(labels[PLACE] ?? '') as Partial<Attachment>;
    return { aliases: [], ...place, network };
  } catch {
    // Its own name is enough to be found by; what else it had is lost.
    return { network, aliases: [] };
  }
}
