import { exitCodes } from '../../failures';
import { guardPart } from '../../report/guard';
import { clusterText, guardSection } from '../../report/status';
import { clusterName } from '../context';
import { lookAtGuard } from '../guard-source';
import { print, printDocument, type Cli } from '../io';
import { observe } from '../observe';

/** How long the guard may take to answer: what PostgreSQL says must not wait for Temporal. */
const GUARD_LIMIT_MS = 1_500;

/** `postgres status`: members of the cluster, what is not as it should be, and who guards it. */
export async function postgresStatus(cli: Cli, options: { cluster?: string }): Promise<number> {
  const name = clusterName(cli, options.cluster);
  const [{ members, findings }, look] = await Promise.all([observe(name), lookAtGuard(cli, name, GUARD_LIMIT_MS)]);
  const guard = guardPart(look, name);
  const healthy = !findings.some((finding) => finding.result === 'refuse');
  const cluster = { name, members, findings };
  if (cli.format === 'json' || cli.format === 'jsonl') printDocument(cli, { version: 1, healthy, cluster, ...guard });
  else if (cli.quiet) print(cli, healthy ? 'healthy' : 'unhealthy');
  else print(cli, [clusterText(cluster, cli.style), ...guardSection(guard, cli.io.now(), cli.style)].join('\n\n'));
  return healthy ? exitCodes.ok : exitCodes.unhealthy;
}
