import { createHash } from 'node:crypto';
import { z } from 'zod';
import { plainDigits, readExactJson } from './exact-json';

/** Digits before and after the point: what `numeric(38,18)` holds. */
const DECIMAL = /^(?:0|[1-9]\d{0,19})(?:\.\d{1,18})?$/;

/** A decimal without needless zeros: `1.50` and `1.5` are one number. */
const canonical = (text: string) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);

const amount = (what: string) =>
  z
    .union([z.number(), z.string()], { error: `expected ${what} as a number, or as a text of digits` })
    .transform((value, context) => {
      const text = typeof value === 'number' ? plainDigits(String(value)) : value.trim();
      if (text === undefined || !DECIMAL.test(text) || Number(text) === 0) {
        context.addIssue({
          code: 'custom',
          message: `expected ${what} above 0, with at most 20 digits before the point and 18 after it`,
        });
        return z.NEVER;
      }
      return canonical(text);
    });

const orderSchema = z
  .strictObject({
    /** What is traded: `BTCUSDT`, `BTC-USD`, `EUR/USD`. */
    symbol: z
      .string({ error: 'expected the name of what is traded, such as BTCUSDT' })
      .regex(/^[A-Z0-9]{1,20}(?:[-/._:][A-Z0-9]{1,20}){0,2}$/, 'expected capital letters and digits, such as BTCUSDT'),
    side: z.enum(['buy', 'sell'], { error: 'expected buy or sell' }),
    /** Default: `limit` where there is a price, else `market`. */
    type: z.enum(['limit', 'market'], { error: 'expected limit or market' }).optional(),
    quantity: amount('a quantity'),
    price: amount('a price').optional(),
  })
  .superRefine((order, context) => {
    if (order.type === 'limit' && order.price === undefined)
      context.addIssue({ code: 'custom', path: ['price'], message: 'expected a price: the order is of type limit' });
    if (order.type === 'market' && order.price !== undefined)
      context.addIssue({ code: 'custom', path: ['price'], message: 'expected no price: the order is of type market' });
  })
  .transform((order) => ({ ...order, type: order.type ?? (order.price === undefined ? 'market' : 'limit') }));

/** An order as it is asked for, with its defaults filled in and its numbers in one way of writing. */
export type OrderRequest = z.output<typeof orderSchema>;

/** One mistake in a request. */
export interface OrderMistake {
  /** The key of the body, or `Idempotency-Key`. */
  field: string;
  message: string;
}

/** An order that was accepted, as it is kept and shown. */
export interface Order {
  id: string;
  symbol: string;
  side: 'buy' | 'sell';
  type: 'limit' | 'market';
  quantity: string;
  price: string | null;
  status: 'accepted';
  /** The engine that accepted it, and the epoch in which it was allowed to. */
  node: string;
  epoch: number;
  /** The engine's clock, ISO 8601 in UTC. */
  acceptedAt: string;
  idempotencyKey: string;
}

/** How long a number's text may be in a message. */
const SHOWN_DIGITS = 60;

/**
 * Reads a body. No number in it loses a digit: one that a double does not hold exactly is a mistake, and is to be sent as
 * a text. So is a key that is there twice: of two quantities nobody says which one is meant.
 */
export function readOrder(body: string): { order: OrderRequest } | { mistakes: OrderMistake[] } {
  let read;
  try {
    read = readExactJson(body.trim() === '' ? '{}' : body);
  } catch {
    return { mistakes: [{ field: '(body)', message: 'expected a JSON object' }] };
  }
  const mistakes: OrderMistake[] = [
    ...[...read.repeated].map((field) => ({ field, message: 'expected this key once' })),
    ...[...read.inexact].map(([key, text]) => ({
      field: key || '(body)',
      message: `expected a text of digits, or a number of at most 15: as a JSON number ${text.slice(0, SHOWN_DIGITS)} loses digits`,
    })),
  ];
  const parsed = parseOrder(read.value);
  if (mistakes.length === 0) return parsed;
  const told = new Set(mistakes.map(({ field }) => field));
  return {
    mistakes: [...mistakes, ...('mistakes' in parsed ? parsed.mistakes.filter((m) => !told.has(m.field)) : [])],
  };
}

/** Checks a parsed body. */
export function parseOrder(body: unknown): { order: OrderRequest } | { mistakes: OrderMistake[] } {
  const result = orderSchema.safeParse(body);
  if (result.success) return { order: result.data };
  return {
    mistakes: result.error.issues.flatMap((issue): OrderMistake[] =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => ({ field: key, message: 'unknown key' }))
        : [{ field: issue.path.join('.') || '(body)', message: issue.message }],
    ),
  };
}

/** The `Idempotency-Key` of a request. */
export function parseKey(header: string | undefined): { key: string } | { mistakes: OrderMistake[] } {
  const key = header?.trim() ?? '';
  if (/^[\x21-\x7e]{1,200}$/.test(key)) return { key };
  return {
    mistakes: [
      {
        field: 'Idempotency-Key',
        message:
          key === ''
            ? 'expected the header Idempotency-Key: a text of your own, one for each order and the same when it is sent again'
            : 'expected 1 to 200 visible ASCII characters',
      },
    ],
  };
}

/** Two requests with one key are the same order if and only if their fingerprints are equal. */
export function fingerprint(order: OrderRequest): string {
  const parts = [order.symbol, order.side, order.type, order.quantity, order.price ?? ''];
  return createHash('sha256').update(parts.join('\n')).digest('base64url');
}
