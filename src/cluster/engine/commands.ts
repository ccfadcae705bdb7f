import { shellWord } from '../commands';

/*
 * Commands for a person at a shell on the machine of the stack. None holds a secret.
 */

/** What the engines and their front door look like now. */
export function engineStatus(cluster: string): string {
  return `veloz-ha engine status --cluster ${cluster}`;
}

/** Starts a runbook of the engines. */
export function engineCommand(what: 'switchover' | 'drain' | 'ready', cluster: string, engine?: string): string {
  const name = engine === undefined ? '' : what === 'switchover' ? ` --to ${engine}` : ` ${engine}`;
  return `veloz-ha engine ${what}${name} --cluster ${cluster}`;
}

/** One command of HAProxy's runtime API, inside the container. */
export function runtimeCommand(proxy: string, command: string): string {
  return `docker exec ${proxy} haproxy-runtime ${shellWord(command)}`;
}
