import { fingerprint, parseKey, parseOrder, type OrderRequest } from '../../src/engine/order';

const body = { symbol: 'BTCUSDT', side: 'buy', quantity: 1 };
function order(more: object = {}): OrderRequest {
  const result = parseOrder({ ...body, ...more });
  if ('mistakes' in result) throw new Error(JSON.stringify(result.mistakes));
  return result.order;
}
const fieldsOf = (value: unknown) => {
  const result = parseOrder(value);
  return 'mistakes' in result ? result.mistakes.map(({ field }) => field) : [];
};

describe('an order', () => {
  test('has a type by whether it has a price', () => {
    expect(order().type).toBe('market');
    expect(order({ price: 5 }).type).toBe('limit');
  });

  test.each([
    [1, '1'],
    ['1.50', '1.5'],
    ['100', '100'],
    ['0.000000000000000001', '0.000000000000000001'],
    [1e-7, '0.0000001'],
    ['99999999999999999999.5', '99999999999999999999.5'],
    [' 2.0 ', '2'],
  ])('quantity %s is kept as %s', (quantity, kept) => expect(order({ quantity }).quantity).toBe(kept));

  test.each([0, '0.0', -1, '1e3', 1e21, '01', '.5', 'NaN', NaN, Infinity, '', null, true, '1.0000000000000000001'])(
    'quantity %s is refused',
    (quantity) => expect(fieldsOf({ ...body, quantity })).toEqual(['quantity']),
  );

  test.each(['btc', '', 'BTC USDT', 'A/B/C/D', 7, undefined])('symbol %s is refused', (symbol) => {
    expect(fieldsOf({ ...body, symbol })).toEqual(['symbol']);
  });

  test('all mistakes are told at once', () => {
    expect(fieldsOf({ symbol: 'x', side: 'hold', quantity: -1 })).toEqual(['symbol', 'side', 'quantity']);
    expect(fieldsOf({ ...body, color: 'red', id: '1' })).toEqual(['color', 'id']);
    expect(fieldsOf({ ...body, type: 'limit' })).toEqual(['price']);
    expect(fieldsOf({ ...body, type: 'market', price: 1 })).toEqual(['price']);
    for (const nothing of [null, [], 'order', 3]) expect(fieldsOf(nothing)).toEqual(['(body)']);
  });
});

describe('the fingerprint', () => {
  test('is one for two ways of writing the same order', () => {
    expect(fingerprint(order({ quantity: '1.50', price: 100 }))).toBe(
      fingerprint(order({ quantity: 1.5, price: '100.0', type: 'limit' })),
    );
  });

  test('is another one for every other order', () => {
    const all = [{}, { side: 'sell' }, { quantity: 2 }, { price: 1 }, { price: 2 }, { symbol: 'ETHUSDT' }];
    expect(new Set(all.map((more) => fingerprint(order(more)))).size).toBe(all.length);
  });
});

describe('the Idempotency-Key', () => {
  test('is a text of visible characters', () => {
    expect(parseKey(' a-1 ')).toEqual({ key: 'a-1' });
    expect(parseKey('x'.repeat(200))).toHaveProperty('key');
  });

  test.each([undefined, '', '  ', 'a b', 'é', 'x'.repeat(201)])('%s is refused', (header) => {
    expect(parseKey(header)).toEqual({ mistakes: [expect.objectContaining({ field: 'Idempotency-Key' })] });
  });
});
