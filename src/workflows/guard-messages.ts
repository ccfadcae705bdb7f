import { defineQuery, defineUpdate } from '@temporalio/workflow';
import type { Ledger } from '../cluster/guard/ledger';
import type { GuardMode } from '../cluster/guard/policy';
import type { Readiness } from '../cluster/readiness/findings';
import type { Signal } from '../cluster/guard/signals';
import type { SeenReplicas } from '../cluster/redis/observed';
import type { StartedRun } from './guard-runs';
import type { Decision } from './messages';

/** Workflow id of the guard of a cluster. */
export function guardWorkflowId(cluster: string): string {
  return `guard/${cluster}`;
}

/** Something that the guard saw or did, newest last; the last 50 are kept. */
export interface GuardEvent {
  /** Milliseconds since the epoch. */
  at: number;
  kind:
    | 'started'
    | 'ledger'
    | 'mode'
    | 'maintenance'
    | 'handed over'
    | 'primary failed'
    | 'primary back'
    | 'failover'
    | 'standby lost'
    | 'commits go on'
    | 'standby back'
    | 'relaxed'
    | 'restored'
    | 'split brain'
    | 'fenced'
    | 'in doubt'
    | 'ready'
    | 'not ready'
    | 'backoff'
    | 'mending'
    | 'mended'
    | 'redis failed'
    | 'redis back'
    | 'redis moved'
    | 'redis doubt'
    | 'redis run';
  says: string;
  /** The run that it started or that it is about. */
  run?: string;
}

/** Everything that the guard's `guard` query returns. One versioned document. */
export interface GuardState {
  version: 1;
  cluster: string;
  workflowId: string;
  runId: string;
  mode: GuardMode;
  /** Present while maintenance mode is on: who, why, until when (milliseconds since the epoch). */
  maintenance?: { by: string; why?: string; since: number; until: number | null };
  ledger: Ledger;
  /** What it sees, in a sentence. */
  sees: string;
  /** What it waits for, in a sentence. */
  waitsFor: string;
  /** What it will do next, in a sentence. */
  next: string;
  /**
   * A failover that it started and that has not ended, or that waits for approval; `asks`: it asks a person about the failure of this
   * primary; `about`: the primary whose failure it is about, absent where that is not known, of a rejoin, and in a guard of an older
   * version.
   */
  acting?: StartedRun & { asks?: { primary: string | null }; about?: string };
  /** It does nothing before this time, because an attempt did not end well. Milliseconds since the epoch. */
  backoffUntil?: number;
  /** It leaves the names of synchronous standbys alone before this time, because setting them did not end well. Milliseconds since the epoch. */
  namesBackoffUntil?: number;
  /**
   * Why the last attempt to let commits go on (`relax`), or to have them wait again (`restore`), did not end well, and when that was, in
   * milliseconds since the epoch; absent where it did, or a whole look has found no reason for it any more.
   */
  namesFailed?: { what: 'relax' | 'restore'; says: string; at: number };
  /** Evidence of what is going on now; empty while all is well. */
  signals: Signal[];
  /** What a fault, a fence or a run left, and what is done about it; absent in a guard that was started before it did that. */
  mending?: MendingState;
  /** Whether a failover or a planned move would work now; absent while nobody has asked. */
  readiness?: Readiness;
  /** What it knows of Redis; absent where the cluster has none. */
  redis?: RedisGuardState;
  events: GuardEvent[];
  startedAt: number;
}

/** What is left over, and what the guard does about it. */
export interface MendingState {
  nodes: {
    /** The node; `the primary` where nobody takes writes. */
    node: string;
    /** What is so, in half a sentence. */
    says: string;
    /** The guard does something about it, in `auto`. */
    acts: boolean;
    /** A person stopped it, and it stays stopped: the command that takes that back. */
    byHand?: string;
    /** Nobody but a person ends it: the command. */
    next?: string;
    /** It is tried as soon as that is not so any more: the command that shows whether it still is. */
    look?: string;
    /** The watch itself looks after its container. */
    started?: true;
    /** Attempts since something changed last. */
    attempts: number;
    /** How the last one ended, and when, in milliseconds since the epoch. */
    last?: string;
    lastAt?: number;
    /** When the next one comes at the latest, in milliseconds since the epoch. */
    nextAt?: number;
  }[];
  /** The repair that it started and that has not ended; `nodes`: those for which it was due, absent from a guard of an older version. */
  acting?: StartedRun & { nodes?: string[] };
}

/** What the guard knows of the last attempt at each node: the key of what was so after it, null until it was looked at. */
export type MendingKnowledge = Record<string, { key: string | null; notBefore: number }>;

/** What the guard knows of Redis, and does about it. */
export interface RedisGuardState {
  /** The master; null while none is known. */
  master: string | null;
  /** A master that was replaced and that has not been seen well since. */
  movedFrom: string | null;
  /** What it sees, in a sentence without full stop. */
  sees: string;
  /** What it will do next, in a sentence. */
  next?: string;
  /** What is wrong while the master is well, and that no run mends, with the next command; absent where nothing is. */
  trouble?: string;
  /** Evidence of what is going on now; empty while all is well. */
  signals: Signal[];
  /** A run that it started and that has not ended, or that waits for approval. */
  acting?: StartedRun & {
    asks: boolean;
    /** The keys of the faults that it was started for; absent in a guard of an older version. */
    faults?: string[];
    /** The master that it was started about; absent where it is about something else, and in a guard of an older version. */
    about?: string;
  };
  /** It tries nothing again about Redis before this time. Milliseconds since the epoch. Where there are `waits`, the first of them. */
  backoffUntil?: number;
  /**
   * Each fault for which an attempt did not end well: it is not tried again for that one before `until`, in milliseconds since the epoch;
   * how many in a row did not end well. Absent in a guard of an older version: `backoffUntil` counts for all of them.
   */
  waits?: Record<string, { until: number; failures: number }>;
  /**
   * When it began to move a master away whose disk takes no writes, in milliseconds since the epoch; absent where that did not end well, or
   * none was moved.
   */
  movedAwayAt?: number;
  /** What the watch saw last in the master's own list of replicas; absent in a guard of an older version. */
  seen?: SeenReplicas;
}

/** Input of the `guard` workflow. An empty form guards the default cluster as its topology says. */
export interface GuardInput {
  cluster?: string;
  /** Default: the topology's `guard.mode`. */
  mode?: GuardMode;
  startedBy?: string;
  /** Handed over by the guard itself when it continues as new. */
  carried?: GuardState;
  known?: GuardKnowledge;
}

/** News that the guard has told already and is not told again, and how many attempts in a row did not end well. */
export interface GuardKnowledge {
  failed: boolean;
  splitBrain: boolean;
  standbyLost: boolean;
  standbyBack: boolean;
  /** The state, and the kind of failure, that it saw last. */
  sees: string;
  failures: number;
  /** Nodes that it fenced and that were not rejoined yet, handed over by a history that begins anew. */
  toRejoin?: { node: string; reason: string }[];
  /** When a fence that was in vain is tried again, in milliseconds since the epoch. */
  fenceAgainAt?: number;
  /** Fences in a row that were in vain. */
  fencesInVain?: number;
  /** Of what is left over. */
  mending?: MendingKnowledge;
  /** The key of the readiness that was told last. */
  ready?: string;
  /** Of Redis. */
  redis?: RedisGuardKnowledge;
}

/** Keys of what waits for its own back-off alone, beside those of faults of Redis. */
export const REDIS_WAITS = { failed: 'failed', refuses: 'refuses' } as const;

/** Whether a master that fails now would wait for the back-off after an attempt in vain; else only what was in vain does. */
export const holdsFailoverUp = ({ waits, backoffUntil }: RedisGuardState): boolean =>
  waits === undefined || (waits[REDIS_WAITS.failed]?.until ?? 0) >= (backoffUntil ?? 0);

/** News of Redis that the guard has told already. */
export interface RedisGuardKnowledge {
  failed: boolean;
  leftOver: boolean;
  /** The key of what it saw last. */
  sees: string;
  failures: number;
  /** Nodes that hung, off their networks, when something was last left over. */
  hanging?: string[];
  /** The keys of the faults that were last told as left over; absent where a watch of an older version told them. */
  left?: string[];
  /** What is left over waits for a run of its own that may not have taken its lock yet: it is looked at again then. */
  behind?: true;
}

/** The whole live state of the guard. */
export const guardQuery = defineQuery<GuardState>('guard');
/** Changes the mode. Returns what follows, in a sentence. */
export const setModeUpdate = defineUpdate<string, [{ mode: GuardMode } & Decision]>('setMode');
/**
 * Maintenance mode on (`for`: a duration such as `30m`; without it until switched off) or off: the guard watches and keeps the
 * ledger, and neither fails over, nor relaxes, nor fences.
 */
export const maintenanceUpdate = defineUpdate<string, [{ on: boolean; for?: string } & Decision]>('maintenance');
/**
 * Has the guard begin its history anew, with all that it knows, before another version of the workers takes it over. Returns
 * what follows, in a sentence.
 */
export const handOverUpdate = defineUpdate<string, [Decision?]>('handOver');
/** Ends the guard. */
export const stopGuardUpdate = defineUpdate<string, [Decision?]>('stop');
