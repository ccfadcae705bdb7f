import type { Endpoint } from '../topology';
import { answeringSentinels, behind, mastersOf, nodeAt, type ObservedRedis, type SeenBySentinel } from './observed';

/*
 * Sentinels that are connected to another node than they mean, since that has the address now that the one they mean had. What such a
 * Sentinel does to the one it does to the other: it has a master follow itself, or takes a master that is well for down. It keeps to that
 * connection for as long as it lasts.
 */

/** One such connection. */
export interface Mistake {
  sentinel: string;
  /** The node that it means. */
  means: string;
  /** The one that it is connected to. */
  is: string;
  /** The run of that one's server, which is how it is known. */
  runId: string;
}

/**
 * Who is taken for whom. Pure. Not the master that a Sentinel names in place of another one that is a master: that it tells clients the wrong
 * one is a fault of its own (`wrong word`).
 */
export function mistakesOf(observed: ObservedRedis): Mistake[] {
  const masters = mastersOf(observed).map(({ name }) => name);
  return answeringSentinels(observed).flatMap(({ name: sentinel, state }) => {
    const one = (means: (Endpoint & SeenBySentinel) | null): Mistake[] => {
      const named = nodeAt(observed, means)?.name;
      const is = behind(observed, means)?.name;
      const runId = means?.runId;
      if (named === undefined || is === undefined || runId === undefined || is === named) return [];
      return [{ sentinel, means: named, is, runId }];
    };
    const tellsWrong = masters.length > 0 && !masters.includes(nodeAt(observed, state.master)?.name ?? '');
    return [...(tellsWrong ? [] : one(state.master)), ...state.replicas.flatMap(one)];
  });
}
