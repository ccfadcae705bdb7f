import { problemSentence, type Check } from '../cluster/check';
import { engineStatus } from '../cluster/engine/commands';
import { redisStatus } from '../cluster/redis/commands';
import { checksText } from './checks';
import { enginesTable, type EnginesPicture } from './engine';
import { redisNodesTable, sentinelsTable, type RedisPicture } from './redis';
import type { Style } from './style';
import { hang, section } from './text';

/** Redis, engines and HAProxy of a cluster. A tier that the topology does not have is absent. */
export interface TradingPicture {
  /** `false`: none of their containers exists, as after `stack up --only postgres`. Absent where the topology has none. */
  started?: boolean;
  redis?: RedisPicture;
  engines?: EnginesPicture;
  /** Why a tier could not be looked at at all. */
  silent?: { redis?: string; engines?: string };
}

/** What to run where Redis, the engines and HAProxy are not there. */
const START = 'veloz-ha stack up';

/** What is wrong with the tiers of a cluster: each refusal of a check, and each tier that could not be looked at. */
export function tradingProblems(
  { redis, engines, silent }: TradingPicture,
  cluster: string,
): { says: string; next: string }[] {
  const [ofRedis, ofEngines] = [redisStatus(cluster), engineStatus(cluster)];
  const refused = (findings: readonly Check[] | undefined, next: string) =>
    (findings ?? [])
      .filter(({ result }) => result === 'refuse')
      .map((finding) => ({ says: problemSentence(finding), next: finding.next ?? next }));
  const unseen = (tier: string, why: string | undefined, next: string) =>
    why === undefined ? [] : [{ says: `${tier} could not be looked at: ${why}`, next }];
  return [
    ...unseen('Redis', silent?.redis, ofRedis),
    ...refused(redis?.findings, ofRedis),
    ...unseen('the engines and HAProxy', silent?.engines, ofEngines),
    ...refused(engines?.findings, ofEngines),
  ];
}

/** Where a topology has these tiers and none of their containers exists, that is said, and is no problem. */
export function tradingHints({ started }: TradingPicture): { says: string; next: string }[] {
  return started === false
    ? [{ says: 'Redis, the engines and HAProxy are not started; PostgreSQL and PgBouncer alone are', next: START }]
    : [];
}

/** The tiers as sections of a bigger picture: Redis with its Sentinels in a line, the engines with HAProxy. */
export function tradingSections({ redis, engines }: TradingPicture, style: Style): string[] {
  return [
    ...(redis === undefined
      ? []
      : [
          section(
            'Redis',
            (inner) =>
              withWarnings(
                [redisNodesTable(redis.nodes, inner), ...sentinelLines(redis, inner)],
                redis.findings,
                inner,
              ),
            style,
          ),
        ]),
    ...(engines === undefined
      ? []
      : [
          section(
            'Engines and HAProxy',
            (inner) => withWarnings([enginesTable(engines.members, inner)], engines.findings, inner),
            style,
          ),
        ]),
  ];
}

/** All Sentinels in a line where they agree; a table of them where they do not. */
function sentinelLines(redis: RedisPicture, style: Style): string[] {
  const { colour, glyphs } = style;
  const { sentinels } = redis;
  const up = sentinels.filter(({ state }) => state === 'up');
  const named = new Set(up.map(({ names }) => names ?? 'nobody'));
  const [master] = named;
  const all = up.length === sentinels.length && named.size === 1;
  const says =
    named.size === 1
      ? `${up.length} of ${sentinels.length} Sentinels name ${master}`
      : `${up.length} of ${sentinels.length} Sentinels answer${up.length === 0 ? '' : ', and name different masters'}`;
  const line = hang(`${all ? colour.green(glyphs.done) : colour.yellow(glyphs.warning)} `, says, style);
  return [line, ...(all ? [] : ['', sentinelsTable(sentinels, style)])];
}

/** Warnings alone: what refuses stands at the top of the bigger picture, among its problems. */
function withWarnings(lines: readonly string[], findings: readonly Check[], style: Style): string {
  const warnings = checksText(
    findings.filter(({ result }) => result === 'warn'),
    style,
  );
  return [...lines, ...(warnings === '' ? [] : ['', warnings])].join('\n');
}
