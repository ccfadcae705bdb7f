import { objects, primary, standby } from '../support/objects';
import { absent, POOLER, PRIMARY, STANDBY, stopped } from '../support/picture';

// E4: every system that will be needed answers

objects({
  'Docker does not answer': {
    change: ({ observed }) => (observed.docker = { ok: false, error: 'connect ENOENT /var/run/docker.sock' }),
    id: 'E4',
    says: 'the Docker engine is not ready: it does not answer: connect ENOENT /var/run/docker.sock',
    next: 'docker -H unix:///var/run/docker.sock version',
  },
  'Docker does not answer in time': {
    change: ({ observed }) => (observed.docker = { ok: false, error: 'it took longer than 2000 ms' }),
    id: 'E4',
    says: 'the Docker engine is not ready: it does not answer: it took longer than 2000 ms',
    next: 'docker version',
  },
  'the standby is stopped': {
    change: (seen) => stopped(standby(seen)),
    id: 'E4',
    says: `${STANDBY} is not ready: its container is exited`,
    next: `docker start ${STANDBY}`,
  },
  'the standby is paused': {
    change: (seen) => (standby(seen).container = { ...standby(seen).container, running: false, status: 'paused' }),
    id: 'E4',
    says: `${STANDBY} is not ready: its container is paused`,
    next: `docker unpause ${STANDBY}`,
  },
  'the pooler is suspended': {
    change: ({ observed }) => {
      Object.assign(observed.pooler.agent ?? {}, { paused: true, halted: 'suspended' });
      Object.assign(observed.pooler, { console: null, consoleError: 'timeout expired' });
    },
    id: 'E4',
    says: `${POOLER} is not ready: somebody suspended it (SUSPEND): no client gets an answer, and its console takes nobody new`,
    next: 'veloz-ha repair --cluster veloz',
  },
  'the standby was never made': {
    change: (seen) => absent(standby(seen)),
    id: 'E4',
    says: `${STANDBY} is not ready: its container does not exist`,
    next: 'veloz-ha stack up',
  },
  'Docker does not tell about one container': {
    change: (seen) => (standby(seen).container.error = `docker inspect ${STANDBY} took longer than 5000 ms`),
    id: 'E4',
    says: `${STANDBY} is not ready: docker inspect ${STANDBY} took longer than 5000 ms`,
    next: `docker inspect ${STANDBY}`,
  },
  'an agent does not answer, and its error begins with the name': {
    change: (seen) => {
      standby(seen).agent = null;
      standby(seen).agentError = `${STANDBY}: no answer to "observe" within 3000 ms`;
    },
    id: 'E4',
    says: `${STANDBY} is not ready: no answer to "observe" within 3000 ms (limit`,
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'PostgreSQL does not answer': {
    change: (seen) => Object.assign(primary(seen), { sql: null, sqlError: 'the database system is starting up' }),
    id: 'E4',
    says: `${PRIMARY} is not ready: PostgreSQL does not answer: the database system is starting up`,
    next: `docker logs --tail 20 ${PRIMARY}`,
  },
  'PostgreSQL refuses the password of the control role': {
    change: (seen) =>
      Object.assign(primary(seen), { sql: null, sqlError: 'password authentication failed for user "veloz_ha"' }),
    id: 'E4',
    says: 'password authentication failed',
    next: 'export VELOZ_PG_HA_PASSWORD=',
  },
  'a node is held by a run': {
    change: (seen) =>
      Object.assign(standby(seen).agent ?? {}, {
        desired: 'held',
        claimedBy: 'switchover/veloz/x-1/0a1b2c3d-1111-2222-3333-444455556666',
        deadmanInMs: 3200,
      }),
    id: 'E4',
    says: `${STANDBY} is not ready: it is held by switchover/veloz/x-1, and its dead-man switch starts it in 3.20 s`,
    next: 'veloz-ha watch switchover/veloz/x-1   # has it ended: veloz-ha repair --cluster veloz',
  },
  'a node is fenced by something that is no workflow': {
    change: (seen) => Object.assign(standby(seen).agent ?? {}, { desired: 'fenced', claimedBy: 'by-hand-1' }),
    id: 'E4',
    says: `${STANDBY} is not ready: it is fenced by by-hand-1 (`,
    next: 'veloz-ha repair --cluster veloz',
  },
  'a node refuses to start as a second primary': {
    change: (seen) =>
      Object.assign(standby(seen).agent ?? {}, { startGuard: `${PRIMARY} is a writable primary on timeline 4.` }),
    id: 'E4',
    says: `${STANDBY} is not ready: ${PRIMARY} is a writable primary on timeline 4 (`,
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'the agent of PgBouncer does not answer': {
    change: ({ observed }) =>
      Object.assign(observed.pooler, {
        agent: null,
        console: null,
        agentError: `${POOLER}: the agent can't be reached: (HTTP code 409) container stopped/is not running `,
      }),
    id: 'E4',
    says: `${POOLER} is not ready: the agent can't be reached`,
    next: `docker start ${POOLER}`,
  },
  'the console of PgBouncer does not answer': {
    change: ({ observed }) =>
      Object.assign(observed.pooler, { console: null, consoleError: 'connect ECONNREFUSED 127.0.0.1:6432' }),
    id: 'E4',
    says: `${POOLER} is not ready: its console does not answer: connect ECONNREFUSED 127.0.0.1:6432`,
    next: `docker logs --tail 20 ${POOLER}`,
  },
  'several systems do not answer': {
    change: (seen) => {
      stopped(standby(seen));
      Object.assign(seen.observed.pooler, { agent: null, agentError: 'gone' });
    },
    id: 'E4',
    says: `2 systems are not ready: ${STANDBY}: its container is exited; ${POOLER}: gone`,
    next: `docker start ${STANDBY}`,
  },
});
