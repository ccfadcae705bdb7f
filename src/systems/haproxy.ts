import { connect } from 'node:net';
import type { Endpoint } from '../cluster/topology';

/** How a server stands for new requests: what an administrator said, apart from what its checks say. */
export type AdminState = 'ready' | 'drain' | 'maint';

/** One server of a backend, as HAProxy sees it. */
export interface ProxyServer {
  name: string;
  /** Whether its checks (or an administrator in their place) say that it could take requests. */
  up: boolean;
  admin: AdminState;
  /** Its share of new requests: with 0 it gets none, as one that is drained, whatever `admin` says. Absent where HAProxy does not say. */
  weight?: number;
  /** HAProxy checks it. One that it does not check, and that is not up, never gets up by itself. Absent where HAProxy does not say. */
  checked?: boolean;
  /** HAProxy's own word: `UP`, `DOWN`, `DRAIN`, `MAINT`, `UP 1/2`. */
  status: string;
  /** Why its last check ended as it did: `L7OK 200`, `L4TOUT`. */
  check: string;
  /** Requests that are on their way to it or in it now. */
  sessions: number;
  /** Requests that wait for it. */
  queued: number;
  address: string;
}

/** HAProxy's runtime API. Each call is a connection of its own: HAProxy keeps nothing of it. */
export interface HaproxyClient {
  /** The servers of a backend; without those that are no engines. @throws Error when there is no such backend */
  servers(backend: string): Promise<ProxyServer[]>;
  /** Drained servers end what they have and get nothing new. Setting what is so already changes nothing. */
  setState(backend: string, server: string, state: AdminState): Promise<void>;
  /** Says in the checks' place whether a server takes requests; the next check has the last word. */
  setHealth(backend: string, server: string, health: 'up' | 'down'): Promise<void>;
  /** Gives a server its share of new requests again, as it is configured. */
  restoreWeight(backend: string, server: string): Promise<void>;
  /** Has a server checked again. */
  enableChecks(backend: string, server: string): Promise<void>;
  /** Version and uptime. */
  info(): Promise<{ version: string; uptimeSeconds: number }>;
}

/** The server at which requests wait while no engine is ready. It is part of the backend, and no engine. */
const WAITING_ROOM = 'waiting-room';

const ANSWER_LIMIT_MS = 1000;

/** Bits of `srv_admin_state` in `show servers state`: forced or inherited maintenance, and drain. */
const MAINTENANCE = 0x01 | 0x02 | 0x04 | 0x20;
const DRAIN = 0x08 | 0x10;
/** The bit of `srv_check_state` there that `disable health` takes away. */
const CHECKED = 0x04;

/**
 * A client of the runtime API.
 * @param at a TCP address, or the path of the Unix socket
 */
export function createHaproxyClient(at: Endpoint | { path: string }): HaproxyClient {
  const where = 'path' in at ? at.path : `${at.host}:${at.port}`;
  const say = (command: string) => converse(at, where, command);
  /** A command that says nothing when it is done. */
  const order = async (command: string) => {
    const answer = (await say(command)).trim();
    if (answer !== '') throw new Error(`HAProxy refused "${command}": ${answer}`);
  };
  return {
    async servers(backend) {
      const [state, statistics] = await Promise.all([
        say(`show servers state ${safeName(backend)}`),
        say(`show stat ${safeName(backend)} 4 -1`),
      ]);
      return readServers(backend, state, statistics).filter(({ name }) => name !== WAITING_ROOM);
    },
    setState: async (backend, server, state) =>
      order(`set server ${safeName(backend)}/${safeName(server)} state ${state}`),
    setHealth: async (backend, server, health) =>
      order(`set server ${safeName(backend)}/${safeName(server)} health ${health}`),
    restoreWeight: async (backend, server) => order(`set server ${safeName(backend)}/${safeName(server)} weight 100%`),
    enableChecks: async (backend, server) => order(`enable health ${safeName(backend)}/${safeName(server)}`),
    async info() {
      const lines = await say('show info');
      const value = (key: string) => new RegExp(`^${key}: (.*)$`, 'm').exec(lines)?.[1] ?? '';
      return { version: value('Version'), uptimeSeconds: Number(value('Uptime_sec')) };
    },
  };
}

/** Names of the topology have no blank and no semicolon, which would begin another command. */
function safeName(name: string): string {
  if (!/^[A-Za-z0-9_.-]+$/.test(name)) throw new Error(`"${name}" is no name that HAProxy knows`);
  return name;
}

/** Sends one command and reads until HAProxy closes. */
function converse(at: Endpoint | { path: string }, where: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(at);
    const fail = (why: string) => {
      clearTimeout(limit);
      socket.destroy();
      reject(new Error(`HAProxy's runtime API at ${where}: ${why}`));
    };
    const limit = setTimeout(() => fail(`no answer to "${command}" within ${ANSWER_LIMIT_MS} ms`), ANSWER_LIMIT_MS);
    socket.setEncoding('utf8');
    socket.on('connect', () => socket.write(`${command}\n`));
    socket.on('data', (chunk: string) => (answer += chunk));
    socket.on('error', (error) => fail(error.message));
    // Docker's proxy accepts for a container that does not listen; every answer of HAProxy's has at least a line's end.
    socket.on('close', () => {
      if (answer === '') return fail('it closed without an answer');
      clearTimeout(limit);
      resolve(answer);
    });
  });
}

/**
 * Reads `show servers state` and `show stat` of one backend.
 * @throws Error when they are not of that backend
 */
export function readServers(backend: string, state: string, statistics: string): ProxyServer[] {
  const admin = new Map(
    rows(state, ' ').map((row) => [
      row.srv_name ?? '',
      {
        bits: Number(row.srv_admin_state),
        address: row.srv_addr,
        weight: row.srv_uweight,
        checks: row.srv_check_state,
      },
    ]),
  );
  const servers = rows(statistics, ',').filter((row) => row.pxname === backend && admin.has(row.svname ?? ''));
  if (servers.length === 0) throw new Error(`HAProxy has no backend ${backend} with servers: ${state.trim()}`);
  return servers.map((row): ProxyServer => {
    const name = row.svname ?? '';
    const { bits = 0, weight, checks } = admin.get(name) ?? {};
    const status = row.status ?? '';
    return {
      name,
      up: /^(UP|DRAIN|NOLB|no check)/.test(status),
      admin: (bits & MAINTENANCE) !== 0 ? 'maint' : (bits & DRAIN) !== 0 ? 'drain' : 'ready',
      ...(weight === undefined ? {} : { weight: Number(weight) }),
      ...(checks === undefined ? {} : { checked: (Number(checks) & CHECKED) !== 0 }),
      status,
      check: `${(row.check_status ?? '').replace('* ', '')} ${row.check_code ?? ''}`.trim(),
      sessions: Number(row.scur),
      queued: Number(row.qcur),
      address: row.addr ?? admin.get(name)?.address ?? '',
    };
  });
}

/** A table whose first line that begins with `# ` names the columns. */
function rows(text: string, separator: string): Record<string, string>[] {
  const lines = text.split('\n').map((line) => line.trim());
  const at = lines.findIndex((line) => line.startsWith('# '));
  const names = (lines[at] ?? '').slice(2).split(separator);
  if (at < 0) return [];
  return lines
    .slice(at + 1)
    .filter((line) => line !== '')
    .map((line) => {
      const values = line.split(separator);
      return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']));
    });
}
