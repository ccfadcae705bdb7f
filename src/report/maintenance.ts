import { formatMs } from '../cluster/duration';
import { maintenanceCommand } from '../cluster/maintenance/commands';
import { activeWord, tierName } from '../cluster/maintenance/sides';
import type { MaintenanceState, RunState } from '../workflows/run-state';
import type { Style } from './style';
import { formatAge } from './words';

/*
 * How a maintenance is told of. Nothing here may import a Node built-in or a drawing library: workflows bundle it.
 */

/** What is away from where it lives; "nothing" when it is all at home. */
export function awaySentence({ away }: Pick<MaintenanceState, 'away'>, arrow = '→'): string {
  if (away.length === 0) return 'nothing';
  return away.map(({ tier, from, to }) => `${activeWord[tier]} ${from} ${arrow} ${to}`).join('; ');
}

/** For how long clients waited in each move; undefined before the first one that tells. */
export function waitsSentence({ moves }: Pick<MaintenanceState, 'moves'>): string | undefined {
  const waits = (back: boolean) =>
    moves
      .flatMap((move) =>
        move.back === back && move.heldMs !== undefined ? [`${tierName[move.tier]} ${formatMs(move.heldMs)}`] : [],
      )
      .join(', ');
  const [away, back] = [waits(false), waits(true)];
  if (away === '' && back === '') return undefined;
  return [away, back === '' ? '' : `on the way back ${back}`].filter((part) => part !== '').join('; ');
}

/** What a person can do about a maintenance that is held, as Markdown for the Web UI. */
export function heldDetails(held: MaintenanceState, cluster: string): string[] {
  const until =
    held.heldUntil === undefined ? '' : ` until ${new Date(held.heldUntil).toISOString().replace(/\.\d+Z$/, 'Z')}`;
  return [
    `**Held${until}.** Away: ${awaySentence(held)}. In this page: *More actions → Send an Update* → \`moveBack\` or \`finish\` (no input needed).`,
    '',
    `In a terminal: \`${maintenanceCommand('back', cluster)}\` or \`${maintenanceCommand('finish', cluster)}\``,
  ];
}

/**
 * A maintenance that is under way: what is moved, since when, by whom, and what can be done.
 * @param now milliseconds since the epoch
 */
export function maintenanceText(state: RunState, now: number, style: Style, link: string): string {
  const { colour, glyphs } = style;
  const held = state.maintenance;
  const lines = [`${colour.bold(`maintenance of ${state.cluster}`)}: ${held?.scope ?? '?'}, ${state.phase}`];
  const fact = (name: string, value: string | undefined) => {
    if (value !== undefined && value !== '') lines.push(`  ${colour.dim(name.padEnd(9))}  ${value}`);
  };
  for (const { tier, from, to, at } of held?.away ?? [])
    fact('Away', `${activeWord[tier]} ${from} ${glyphs.arrow} ${to}, for ${formatAge(now - at)}`);
  if (held?.away.length === 0) fact('Away', 'nothing yet');
  if (held !== undefined) fact('Waits', waitsSentence(held));
  if (held?.heldSince !== undefined)
    fact('Held', `since ${style.dateTime(held.heldSince)} (${formatAge(now - held.heldSince)})`);
  if (held?.heldUntil !== undefined)
    fact('Until', `${style.dateTime(held.heldUntil)}; then it ends, and nothing is moved back`);
  const approved =
    state.approval.by === undefined || state.approval.by === state.startedBy
      ? ''
      : `, approved by ${state.approval.by}`;
  fact('By', `${state.startedBy}${approved}`);
  fact('Reason', state.reason);
  fact('Ticket', state.ticket);
  if (state.phase !== 'held') fact('Now', state.says);
  if (held?.trouble !== undefined) lines.push(`${colour.yellow(glyphs.warning)} ${held.trouble}`);
  fact('Run', state.workflowId);
  fact('Link', link);
  if (state.phase === 'held') {
    fact('Move back', colour.cyan(maintenanceCommand('back', state.cluster)));
    fact('End it', colour.cyan(maintenanceCommand('finish', state.cluster)));
  } else fact('Follow it', colour.cyan(`veloz-ha watch ${state.workflowId}`));
  return lines.join('\n');
}
