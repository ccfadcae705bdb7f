/** A container that is on no Docker network. */
export interface OffNetworks {
  /**
   * `run`: a run that could not end it took it off, and left a mark that says so; it is put back once it can do no harm. `somebody`: there
   * is no such mark, so a person did it, or a tool; it stays so.
   */
  by: 'run' | 'somebody';
  /** The network that it was made for. */
  home: string;
}

/** Why it is on none, in half a sentence. */
export const offNetworksSays = ({ by }: OffNetworks): string =>
  by === 'run'
    ? 'a run that could not end it took it off its Docker networks'
    : 'somebody took it off its Docker networks';

/**
 * What puts it back, where no run does.
 * @param networks those that it was on; where nobody knows, the one that it was made for
 */
export const connectCommand = (
  node: string,
  { home }: Pick<OffNetworks, 'home'>,
  networks: readonly string[] = [],
): string =>
  (networks.length === 0 ? [home] : networks)
    .map((network) => `docker network connect ${network} ${node}`)
    .join(' && ');
