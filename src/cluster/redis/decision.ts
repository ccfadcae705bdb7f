import type { Check } from '../check';
import type { RedisFault } from './faults';

/** What is asked for. */
export interface RedisRequest {
  /** The node that is to be the master. Default: the best replica. */
  target?: string;
  /** Refuse unless this node is the master, or was before it failed. */
  expectedMaster?: string;
  /** `repair`: mend what is not as it should be, and move nothing. */
  only?: 'repair';
  /** What a person stopped stays stopped, also the master that failed so. */
  leaveStopped?: true;
  /** Leave replicas alone that are not connected: for a run that began when that was no fault, and is replayed. */
  leaveApart?: true;
  /**
   * Take a replica for as fresh as the Sentinel that has heard nothing for longest, and for whole where it is empty: for a run that began
   * when that was done, and is replayed.
   */
  byDeafest?: true;
  /** Decide as it was done before killed and empty nodes were looked at: for a run that began then, and is replayed. */
  asBefore?: true;
}

/** What a run will do, or why not. */
export interface RedisDecision {
  /**
   * `planned`: the master is moved. `forced`: the master does not answer; a replica takes over. `repair`: something is not as
   * it should be; that is mended, and nothing is moved. `none`: refused, or nothing to do.
   */
  kind: 'planned' | 'forced' | 'repair' | 'none';
  checks: Check[];
  /** The master now; of a forced failover the one that failed. */
  source?: string;
  /** The master afterwards. */
  target?: string;
  faults: RedisFault[];
  /** Of a forced failover: why writes that were acknowledged with `WAIT 1` may be lost too. Absent where nothing says so. */
  doubt?: string;
  /** Of a forced failover: why nobody knows whether they are. Absent where it is known. */
  unseen?: string;
  /** Why there is nothing to do, in a sentence without full stop. */
  alreadyDone?: string;
  /**
   * Of a repair that starts a master that was killed: a node that does not answer, and that is not for this run to bring back. Of a forced
   * failover: the master that failed, where a person stopped it and it stays so.
   */
  without?: string;
  /** What a person stopped, and stays so, with {@link RedisRequest.leaveStopped}; absent where nothing. */
  leaves?: string[];
}

/**
 * A replica that heard nothing from its master for this long is not fit for a planned move, and lacks some where the master failed, in
 * milliseconds.
 */
export const SILENT_MS = 5000;

/** What is found out; the checks are told beside it. */
export type Decided = Omit<RedisDecision, 'checks'>;
