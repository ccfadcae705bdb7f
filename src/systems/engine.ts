import type { Endpoint } from '../cluster/topology';

/** What `GET /health` says of an engine. Engines may say more (docs/engine.md); no runbook asks for more. */
export interface EngineHealthAnswer {
  /** Status of the answer: 200 where it can serve or take over, else 503. */
  httpStatus: number;
  status: string;
  role: 'active' | 'standby';
  node: string;
  epoch: number;
  drained: boolean;
  why?: string;
}

/** One engine by its HTTP contract (docs/engine.md). */
export interface EngineClient {
  /** @throws Error when it does not answer in time, or with something else than its health */
  health(): Promise<EngineHealthAnswer>;
  /** Whether it takes orders now. @throws Error when it does not answer in time */
  ready(): Promise<boolean>;
  /**
   * Finishes what is in flight and hands the lock over; on an engine that is standby it changes nothing. With `epoch`, nothing changes
   * where it is active in another one: whoever asks late would end what somebody else began.
   * @throws EngineRefusal when it would not
   */
  stepDown(request: { run: string; to?: string; epoch?: number }): Promise<void>;
  /** Takes no lock and no orders from now on; hands over first where it is active. @throws EngineRefusal */
  drain(run: string): Promise<void>;
  /** Ends {@link drain}. @throws EngineRefusal */
  undrain(run: string): Promise<void>;
}

/** The engine answered that it would not. */
export class EngineRefusal extends Error {
  constructor(
    readonly httpStatus: number,
    message: string,
  ) {
    super(message);
    this.name = 'EngineRefusal';
  }
}

const HEALTH_LIMIT_MS = 1000;
/** A step-down waits for the orders in flight and for its heir, 1.5 s each at most. */
const ADMIN_LIMIT_MS = 4000;

/**
 * A client of one engine.
 * @param token of the admin routes; called only where it is needed, so that a worker without it can look
 */
export function createEngineClient(at: Endpoint, token: () => string): EngineClient {
  const base = `http://${at.host.includes(':') ? `[${at.host}]` : at.host}:${at.port}`;
  const ask = async (
    path: string,
    limitMs: number,
    init: RequestInit = {},
  ): Promise<{ status: number; body: string }> => {
    try {
      const answer = await fetch(base + path, { ...init, signal: AbortSignal.timeout(limitMs) });
      return { status: answer.status, body: await answer.text() };
    } catch (error) {
      throw new Error(`${base}${path}: ${whyNot(error, limitMs)}`, { cause: error });
    }
  };
  const administer = async (path: string, body: object, headers: Record<string, string> = {}): Promise<void> => {
    const answer = await ask(path, ADMIN_LIMIT_MS, {
      method: 'POST',
      headers: { authorization: `Bearer ${token()}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    if (answer.status !== 200)
      throw new EngineRefusal(answer.status, `POST ${path} was answered ${answer.status}: ${said(answer.body)}`);
  };
  return {
    async health() {
      const { status, body } = await ask('/health', HEALTH_LIMIT_MS);
      return readHealth(status, body, base);
    },
    async ready() {
      return (await ask('/health/ready', HEALTH_LIMIT_MS)).status === 200;
    },
    // In a header: an engine of an earlier version refuses what it does not know in the body.
    stepDown: ({ run, to, epoch }) =>
      administer(
        '/admin/step-down',
        to === undefined ? { run } : { run, to },
        epoch === undefined ? {} : { 'if-match': `"${epoch}"` },
      ),
    drain: (run) => administer('/admin/drain', { run }),
    undrain: (run) => administer('/admin/ready', { run }),
  };
}

/** @throws Error when the body is no health of an engine */
export function readHealth(httpStatus: number, body: string, base: string): EngineHealthAnswer {
  let said: Record<string, unknown> | null;
  try {
    said = JSON.parse(body) as Record<string, unknown> | null;
  } catch {
    said = null;
  }
  const { status, role, node, epoch, drained, why } = said ?? {};
  if ((role !== 'active' && role !== 'standby') || typeof node !== 'string' || !Number.isInteger(epoch))
    throw new Error(`${base}/health was answered ${httpStatus} with no health of an engine: ${body.slice(0, 120)}`);
  return {
    httpStatus,
    status: typeof status === 'string' ? status : 'unknown',
    role,
    node,
    epoch: epoch as number,
    drained: drained === true,
    ...(typeof why === 'string' ? { why } : {}),
  };
}

/** The error that an engine gives as its answer, or the beginning of whatever came. */
function said(body: string): string {
  try {
    const { error } = JSON.parse(body) as { error?: unknown };
    if (typeof error === 'string') return error;
  } catch {
    // Not from an engine, or cut off.
  }
  return body.slice(0, 200);
}

function whyNot(error: unknown, limitMs: number): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `no answer within ${limitMs} ms`;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
