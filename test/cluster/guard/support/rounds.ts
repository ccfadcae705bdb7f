import { guardPolicySchema, type GuardPolicy } from '../../../../src/cluster/guard/policy';
import type { NodeAnswer, Round } from '../../../../src/cluster/guard/signals';
import { PRIMARY, STANDBY } from '../../support/picture';

/** When the first round of a story began. */
export const T0 = 1_795_405_898_000;
/** The default policy: a round each 200 ms, 300 ms to answer, 3 confirmations, 2.5 s to restart. */
export const policy: GuardPolicy = guardPolicySchema.parse({});

/** A primary that answers and is protected by one standby. */
export function writable(rest: Partial<NodeAnswer> = {}): NodeAnswer {
  return {
    name: PRIMARY,
    answered: true,
    ms: 2,
    inRecovery: false,
    timeline: 3,
    lsn: '0/5000000',
    systemIdentifier: '77',
    names: 'veloz_standby',
    standbys: [{ node: STANDBY, syncState: 'sync', state: 'streaming' }],
    receiver: null,
    replayPaused: false,
    ...rest,
  };
}

/** A standby that streams and has everything. */
export function standbyAnswer(rest: Partial<NodeAnswer> = {}): NodeAnswer {
  return {
    name: STANDBY,
    answered: true,
    ms: 2,
    inRecovery: true,
    timeline: 3,
    lsn: '0/5000000',
    systemIdentifier: '77',
    receiver: 'streaming',
    replayPaused: false,
    ...rest,
  };
}

/** A node that gave no answer within its limit. */
export function silence(rest: Partial<NodeAnswer> = {}): NodeAnswer {
  return { name: PRIMARY, answered: false, ms: 300, problem: 'no answer within 300 ms', ...rest };
}

/** A round in which all is well; what is given replaces that. */
export function round(rest: Partial<Round> = {}): Round {
  return { at: T0, lateMs: 3, primary: PRIMARY, sql: writable(), others: [standbyAnswer()], ...rest };
}

/** Rounds one after the other, 200 ms apart, the first of them well. */
export function story(...rounds: Partial<Round>[]): Round[] {
  return [round(), ...rounds.map((each, index) => round({ at: T0 + 200 * (index + 1), ...each }))];
}

/** The same round several times. */
export function times(count: number, each: Partial<Round>): Partial<Round>[] {
  return Array.from({ length: count }, () => each);
}
