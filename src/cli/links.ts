/**
 * The run's page in Temporal's Web UI.
 * @param env `VELOZ_HA_UI` overrides the base, `http://localhost:8233`
 */
export function uiLink(env: NodeJS.ProcessEnv, namespace: string, workflowId: string, runId?: string): string {
  const run = runId === undefined || runId === '' ? '' : `/${encodeURIComponent(runId)}`;
  return `${uiBase(env)}/namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(workflowId)}${run}`;
}

/** The address of the Web UI, without a slash at its end. */
export function uiBase(env: NodeJS.ProcessEnv): string {
  const base = env.VELOZ_HA_UI;
  return (base === undefined || base === '' ? 'http://localhost:8233' : base).replace(/\/+$/, '');
}
