import { answers, replicationRowOf, type AnsweringNode, type ObservedCluster, type ObservedNode } from '../observed';
import { slotName } from '../topology';

/** Does the node stream from this primary, as both of them say, and is it meant to? Then there is nothing to make good. */
export function follows(primary: AnsweringNode, node: ObservedNode): boolean {
  if (!answers(node) || !node.sql.inRecovery || (node.agent !== null && node.agent.desired !== 'up')) return false;
  const { receiver, timeline } = node.sql;
  return (
    replicationRowOf(primary, slotName(node.name))?.state === 'streaming' &&
    receiver?.status === 'streaming' &&
    receiver.senderHost === primary.internal.host &&
    timeline === primary.sql.timeline
  );
}

/** The nodes that follow this primary, in the topology's order. */
export function followers(primary: AnsweringNode, observed: ObservedCluster): AnsweringNode[] {
  return observed.nodes.filter(answers).filter((node) => node !== primary && follows(primary, node));
}
