import type { RedisAnswer } from '../../cluster/redis/watch';
import type { RedisNode, RedisTopology } from '../../cluster/topology';
import { RedisNodeClient } from '../../systems/redis';
import { readSecret, type Environment } from '../../systems/secrets';
import { messageOf, withinLimit } from '../guard/probe';

/**
 * A held-open connection to one Redis node that is asked again and again. It never throws: silence is an answer too. A connection
 * that ends tells so at once, which is the first sign of a dead server.
 */
export class RedisProbe {
  private client: RedisNodeClient | undefined;
  private opening: Promise<RedisNodeClient> | undefined;
  private closed = false;

  constructor(
    private readonly redis: Pick<RedisTopology, 'passwordFrom'>,
    private readonly node: Pick<RedisNode, 'name' | 'address'>,
    private readonly environment: Environment,
    /** How long the node may take to answer, in milliseconds. */
    private readonly limitMs: number,
    /** A connection ended that nobody here had closed. */
    private readonly onDrop: () => void,
  ) {}

  async ask(): Promise<RedisAnswer> {
    const began = performance.now();
    const ms = () => Math.round((performance.now() - began) * 10) / 10;
    try {
      const role = await withinLimit(this.role(), this.limitMs);
      return { answered: true, ms: ms(), role };
    } catch (error) {
      // One that is late is given up: what it still answers would belong to an earlier question.
      this.drop();
      return { answered: false, ms: ms(), problem: messageOf(error) };
    }
  }

  close(): void {
    this.closed = true;
    this.drop();
  }

  private async role(): Promise<'master' | 'replica'> {
    if (this.client === undefined) {
      // One attempt at a time: a frozen server takes connects and answers none, and they would pile up.
      this.opening ??= this.open().finally(() => (this.opening = undefined));
      const client = await this.opening;
      if (this.closed) {
        client.close();
        throw new Error('closed');
      }
      this.client = client;
    }
    return this.client.role();
  }

  private async open(): Promise<RedisNodeClient> {
    const opened: { client?: RedisNodeClient } = {};
    const onEnd = () => {
      // One that was given up may end after the next one was opened: that is no news.
      if (this.client === undefined || this.client !== opened.client) return;
      this.client = undefined;
      this.onDrop();
    };
    const password = readSecret(this.redis.passwordFrom, this.environment);
    opened.client = await RedisNodeClient.open(this.node.address, password, this.limitMs, onEnd);
    return opened.client;
  }

  private drop(): void {
    const { client } = this;
    this.client = undefined;
    client?.close();
  }
}
