import { emptyLedger, type Ledger } from '../../../src/cluster/guard/ledger';
import { nextLedger } from '../../../src/cluster/guard/ledger-rules';
import type { NodeAnswer, Round } from '../../../src/cluster/guard/signals';
import { PRIMARY, STANDBY, STANDBY_2 } from '../support/picture';
import { policy, round, T0, writable } from './support/rounds';

/*
 * The promise of the ledger, held against a made-up PostgreSQL in which anything may happen between two rounds: commits are
 * acknowledged by whoever the names allow, standbys lag, drop, come back and catch up, and the names are set and emptied. Whenever the
 * ledger says protected, the most advanced of its synchronous standbys must have everything that was acknowledged.
 */

/** Numbers that look random and are the same each time. */
function dice(seed: number): (below: number) => number {
  let state = seed * 2654435761 + 1;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface Standby {
  name: string;
  link: 'away' | 'catchup' | 'streaming';
  lsn: number;
  /** Does it answer the guard? */
  answers: boolean;
}

type Names = '' | 'veloz_standby' | 'ANY 1 (veloz_standby)';

class MadeUp {
  lsn = 1000;
  acknowledged = 0;
  names: Names = '';
  readonly standbys: Standby[] = [STANDBY, STANDBY_2].map((name) => ({ name, link: 'away', lsn: 0, answers: true }));

  constructor(private readonly roll: (below: number) => number) {}

  private confirming(): Standby[] {
    const streaming = this.standbys.filter(({ link }) => link === 'streaming');
    // The plain name means FIRST 1: one of them is synchronous, and another the moment that it drops.
    return this.names === 'veloz_standby' ? streaming.slice(0, 1) : streaming;
  }

  /** The primary writes, standbys receive, and what may be acknowledged is. */
  work(): void {
    this.lsn += this.roll(100);
    for (const standby of this.standbys) {
      if (standby.link === 'away') continue;
      standby.lsn += this.roll(this.lsn - standby.lsn + 1);
      if (standby.link === 'catchup' && this.roll(2) === 0) standby.link = 'streaming';
    }
    const bound =
      this.names === '' ? this.lsn : Math.max(0, ...this.confirming().map(({ lsn }) => Math.min(lsn, this.lsn)));
    this.acknowledged = Math.max(this.acknowledged, bound);
  }

  /** A standby goes away. */
  leave(): void {
    const standby = this.standbys[this.roll(2)];
    if (standby !== undefined) standby.link = 'away';
  }

  /** What happens right before a round: someone connects, or the names change. */
  turn(): void {
    const standby = this.standbys[this.roll(2)];
    if (standby?.link === 'away' && this.roll(3) === 0) standby.link = 'catchup';
    if (this.roll(15) === 0) this.names = (['', 'veloz_standby', 'ANY 1 (veloz_standby)'] as const)[this.roll(3)] ?? '';
    for (const each of this.standbys) each.answers = this.roll(10) !== 0;
  }

  private syncState(standby: Standby): string {
    if (this.names === '') return 'async';
    if (!this.confirming().includes(standby)) return 'potential';
    return this.names === 'veloz_standby' ? 'sync' : 'quorum';
  }

  seen(at: number): Round {
    const text = (lsn: number) => `0/${lsn.toString(16).toUpperCase()}`;
    const sql = writable({
      lsn: text(this.lsn),
      names: this.names,
      standbys: this.standbys
        .filter(({ link }) => link !== 'away')
        .map((each) => ({ node: each.name, syncState: this.syncState(each), state: each.link })),
    });
    const others = this.standbys.map(({ name, answers, lsn, link }): NodeAnswer =>
      answers
        ? {
            name,
            answered: true,
            ms: 1,
            inRecovery: true,
            timeline: 3,
            lsn: text(lsn),
            systemIdentifier: '77',
            receiver: link === 'away' ? null : 'streaming',
          }
        : { name, answered: false, ms: 300, problem: 'no answer' },
    );
    return round({ at, primary: PRIMARY, sql, others });
  }

  /** The most advanced of these nodes. */
  furthest(nodes: readonly string[]): number {
    return Math.max(0, ...this.standbys.filter(({ name }) => nodes.includes(name)).map(({ lsn }) => lsn));
  }
}

test.each(Array.from({ length: 60 }, (_, seed) => seed))(
  'what the ledger calls protected is, whatever happens between the rounds (seed %i)',
  (seed) => {
    const roll = dice(seed);
    const cluster = new MadeUp(roll);
    const rounds: Round[] = [];
    let ledger: Ledger = emptyLedger(T0);
    let kept = 0;
    let protectedRounds = 0;
    for (let step = 1; step <= 400; step++) {
      // While nobody looks: the promise has to hold at each of these moments.
      for (let moment = roll(4); moment >= 0; moment--) {
        cluster.work();
        if (roll(8) === 0) cluster.leave();
        if (ledger.state === 'protected') {
          const { acknowledged } = cluster;
          if (cluster.furthest(ledger.synchronous) < acknowledged)
            throw new Error(
              `step ${step}: ${acknowledged} is acknowledged, and not on ${ledger.synchronous.join(', ')}`,
            );
          kept++;
        }
      }
      cluster.turn();
      const seen = cluster.seen(T0 + 200 * step);
      rounds.push(seen);
      if (rounds.length > 20) rounds.shift();
      const after = nextLedger(ledger, seen, policy, seen.at, rounds);
      // A guard that tells of a new ledger begins to watch anew, and may have forgotten the earlier rounds.
      if (after !== undefined && seed % 2 === 1) rounds.length = 0;
      ledger = after ?? ledger;
      if (ledger.state === 'protected') protectedRounds++;
      if (cluster.names === '' && ledger.state !== 'degraded') throw new Error(`step ${step}: ${ledger.state}`);
    }
    // The promise is not kept by never being made.
    expect(protectedRounds).toBeGreaterThan(20);
    expect(kept).toBeGreaterThan(20);
  },
);
