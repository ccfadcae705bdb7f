import { AgentError, type Token } from '../systems/agent';
import { sleep } from './context';
import { steadyMs } from './clock';

/** Whatever agent can be taken by a run. */
export interface Claimable {
  readonly node: string;
  call(name: 'claim' | 'forget', args: { token: Token }): Promise<unknown>;
  close(): void;
}

/**
 * Takes a node: from here on nothing that an earlier run left on its way is carried out there. A run that is over may have left a
 * dead-man switch armed: then the agent is busy until that has acted.
 * @param limitMs how long to wait for it
 * @throws AgentError `Busy` when that takes longer, `Superseded` when a newer attempt took it
 */
export async function claimPatiently(agent: Claimable, token: Token, limitMs: number): Promise<void> {
  const since = steadyMs();
  for (;;) {
    try {
      await agent.call('claim', { token });
      return;
    } catch (error) {
      if (!(error instanceof AgentError) || error.type !== 'Busy' || steadyMs() - since > limitMs) throw error;
      await sleep(100);
    }
  }
}
