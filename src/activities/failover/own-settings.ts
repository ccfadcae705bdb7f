import { ownSettingsOf, type OwnSettings } from '../../cluster/failover/own-settings';
import type { DockerClient } from '../../systems/docker';
import { messageOf, withinLimit } from '../guard/probe';

/** In the order in which PostgreSQL reads them (docker/postgres/postgresql.conf). What was never written says nothing. */
const FILES = ['/run/veloz/environment.conf', '/var/lib/postgresql/data/postgresql.auto.conf'];
/** The one of them that ALTER SYSTEM writes. */
const WRITTEN = 1;
/** How long Docker may take to read them, in milliseconds: clients wait, and on a disk that hangs it takes for ever. */
const LIMIT_MS = 1000;

/**
 * Reads from the volume of a fenced primary whom its commits waited for in the end. Its container need not run for
 * that, as it must for its WAL to be read. Never throws.
 */
export async function readOwnSettings(docker: DockerClient, node: string): Promise<OwnSettings> {
  try {
    const files = await withinLimit(Promise.all(FILES.map((path) => docker.readDated(node, path))), LIMIT_MS);
    const writtenAt = files[WRITTEN]?.writtenAt;
    return {
      ...ownSettingsOf(files.map((file) => file?.text ?? '')),
      ...(writtenAt === undefined ? {} : { writtenAt }),
    };
  } catch (error) {
    return { problem: messageOf(error).replace(/\.$/, '') };
  }
}
