import type { BoundedDisks } from '../bounded-disks';
import { emptyDisk, fillDisk } from '../faults';
import { asRoot } from '../shell';
import type { TakeBack } from './container-faults';

/**
 * Fills a node's disk, or makes every write to it hang while it is read as before. Only on disks of the campaign's own.
 * @throws Error where it has none
 */
export async function diskFault(disks: BoundedDisks | undefined, what: string, container: string): Promise<TakeBack> {
  const mount = disks?.mountOf(container);
  if (mount === undefined) throw new Error(`${container} is on no small disk: add --disks`);
  if (what === 'disk-full') {
    await fillDisk(container);
    return () => emptyDisk(container);
  }
  await asRoot('fsfreeze', '--freeze', mount);
  let thawed = false;
  return async () => {
    if (thawed) return;
    await asRoot('fsfreeze', '--unfreeze', mount);
    thawed = true;
  };
}
