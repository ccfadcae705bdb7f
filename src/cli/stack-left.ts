import type { ComposeContainer } from '../systems/compose-containers';

/** What `stack up` has Compose do, and what it leaves. */
export interface UpPlan {
  /** The services to bring up; empty where all of them stand. */
  services: string[];
  /** Containers that go on as they run, and are not what would be made now. */
  left: Left;
}

/** Names of containers. */
export interface Left {
  /** Another image goes by the name of theirs. */
  older: string[];
  /** The Compose file or the environment say something else than when they were made. */
  otherSettings: string[];
}

export const NOTHING_LEFT: Left = { older: [], otherSettings: [] };

/**
 * What has to be brought up where some containers stand. `docker-compose up` ends and makes anew, all at once, each container whose image
 * or settings have changed; so the services whose container stands are not named to it. Pure.
 * @param wanted each service with the hash of its settings, as Compose has them now
 * @param only the services that are to be up; default: all of `wanted`
 */
export function planUp(
  containers: readonly ComposeContainer[],
  wanted: ReadonlyMap<string, string>,
  only: readonly string[] = [...wanted.keys()],
): UpPlan {
  // What is brought up goes by the services that are meant; what is told, by all that runs.
  const standing = containers.filter(({ stands }) => stands);
  const differ = ({ service, settings }: ComposeContainer) =>
    settings !== undefined && wanted.has(service) && wanted.get(service) !== settings;
  return {
    services: only.filter((service) => !standing.some((container) => container.service === service)),
    left: {
      older: standing.filter(({ older }) => older).map(({ name }) => name),
      // The hash of Compose 1 counts the image in.
      otherSettings: standing.filter((each) => !each.older && differ(each)).map(({ name }) => name),
    },
  };
}

/** The answer of `docker-compose config --hash "*"`: a service and its hash in each line. */
export function hashesIn(output: string): Map<string, string> {
  const lines = [...output.matchAll(/^(\S+) +([0-9a-f]{16,})$/gm)];
  return new Map(lines.map(([, service = '', hash = '']) => [service, hash]));
}

/** What was left as it runs, one sentence each, with the next step. */
export function leftNotes({ older, otherSettings }: Left): string[] {
  const note = (names: readonly string[], what: string) =>
    names.length === 0
      ? []
      : [
          `left as they run, with ${what}: ${names.join(', ')}. Next: docs/upgrade.md says how they are made anew, one at a time`,
        ];
  return [
    ...note(older, 'an older image'),
    ...note(otherSettings, 'other settings than the Compose file and this environment say'),
  ];
}
