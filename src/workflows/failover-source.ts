import type { Ledger } from '../cluster/guard/ledger';
import { presentNodes, type ObservedCluster } from '../cluster/observed';

/** The ledger; unknown where its primary answers as a standby, which no silence explains: another node was promoted since. */
export function withoutRefuted(ledger: Ledger, observed: ObservedCluster): Ledger {
  const named = presentNodes(observed).find(({ name }) => name === ledger.primary);
  if (named?.sql?.inRecovery !== true) return ledger;
  return {
    ...ledger,
    state: 'unknown',
    why: `it names ${named.name} as primary, which answers as a standby`,
  };
}

/** The node that was a primary when it ended, by its own files: the only one without standby.signal. */
export function lastPrimary(observed: ObservedCluster): string | undefined {
  const nodes = presentNodes(observed);
  const withoutSignal = nodes.filter(({ agent, sql }) => sql === null && (agent === null || !agent.standbySignal));
  return withoutSignal.length === 1 ? withoutSignal[0]?.name : undefined;
}
