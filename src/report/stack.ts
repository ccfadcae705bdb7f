import type { Style } from './style';
import { cut, padEnd } from './text';
import { formatSeconds } from './words';

/** A container of the stack while it comes up. */
export interface StackContainer {
  name: string;
  /** `healthy`, `starting`, `unhealthy`, or Docker's word for one that does not run. */
  state: string;
}

/** The stack while it comes up: one line a container, and what is waited for. */
export function stackText(
  containers: readonly StackContainer[],
  waitsFor: string | undefined,
  time: { now: number; began: number; tick: number },
  style: Style,
): string {
  const { colour, glyphs } = style;
  const width = Math.max(0, ...containers.map((container) => container.name.length));
  const spinner = colour.cyan(glyphs.spinner[time.tick % glyphs.spinner.length] ?? '');
  const lines = containers.map((container) => {
    const sign =
      container.state === 'healthy'
        ? colour.green(glyphs.done)
        : container.state === 'starting'
          ? spinner
          : colour.yellow(glyphs.warning);
    return `${sign} ${padEnd(container.name, width)}  ${container.state}`;
  });
  const spent = formatSeconds(time.now - time.began);
  const waits = waitsFor ?? 'waiting until every container is healthy';
  return [...lines, `${spinner} ${cut(`${waits} (${spent})`, style.width - 2, style)}`].join('\n');
}
