import type { Endpoint } from '../topology';

/*
 * How Sentinels tell each other who is master: each one publishes a line on this channel of every node, and of two lines
 * about the same group the one with the higher epoch is believed. Whoever publishes such a line has all Sentinels take up a
 * new master within milliseconds, under an epoch that also wins over a Sentinel that was away.
 */

/** The channel on every node that all Sentinels publish on and listen to. */
export const HELLO_CHANNEL = '__sentinel__:hello';

/**
 * How much an epoch is ahead of the latest one known. A Sentinel counts up by one for each attempt at a failover, also for
 * those that came to nothing and that nobody can ask it about; a step this large is beyond all of them.
 */
const EPOCH_STEP = 100;

/** Who says it: a Sentinel that the others know by this id at this address. It does not listen to lines of its own. */
export interface Speaker extends Endpoint {
  id: string;
}

/** The epoch of a statement that every Sentinel believes. */
export function nextEpoch(known: readonly number[]): number {
  return Math.max(0, ...known) + EPOCH_STEP;
}

/** The line by which a Sentinel says who is master. The first epoch is the one that its next failover counts on from. */
export function helloLine(speaker: Speaker, group: string, master: Endpoint, epoch: number): string {
  return [speaker.host, speaker.port, speaker.id, epoch, group, master.host, master.port, epoch].join(',');
}
