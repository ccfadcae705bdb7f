/** A write that a node acknowledged to somebody who spoke to it directly. */
export interface Acknowledgement {
  node: string;
  /** When the acknowledgement arrived, in milliseconds of one clock. */
  at: number;
}

/** Whether two nodes acknowledged writes beside each other in one incident. */
export interface DualWrites {
  /** Acknowledgements of a node after another one, that began later, had acknowledged. 0: there was one primary at any time. */
  moments: number;
  /** From the first to the last of these moments, in milliseconds; 0 without any. */
  spanMs: number;
  /** Each node that acknowledged, in the order in which they began. */
  nodes: { node: string; acknowledged: number; firstAt: number; lastAt: number }[];
}

/**
 * Finds the moments at which two nodes were writable. Within one incident the primary moves once: a node that acknowledges after
 * its successor has is a second primary.
 */
export function dualWrites(acknowledgements: readonly Acknowledgement[]): DualWrites {
  const nodes: DualWrites['nodes'] = [];
  const moments: number[] = [];
  for (const { node, at } of [...acknowledgements].sort((a, b) => a.at - b.at)) {
    const known = nodes.find((entry) => entry.node === node);
    if (known === undefined) {
      nodes.push({ node, acknowledged: 1, firstAt: at, lastAt: at });
      continue;
    }
    known.acknowledged += 1;
    known.lastAt = at;
    if (known !== nodes.at(-1)) moments.push(at);
  }
  return { moments: moments.length, spanMs: (moments.at(-1) ?? 0) - (moments[0] ?? 0), nodes };
}
