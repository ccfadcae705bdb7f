import { fingerprint, parseKey, parseOrder, readOrder, type OrderRequest } from '../../src/engine/order';

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

describe('the text of an order', () => {
  const text = (quantity: string, more = '') => `{"symbol":"BTCUSDT","side":"buy","quantity":${quantity}${more}}`;
  const quantityOf = (body: string) => {
    const result = readOrder(body);
    return 'order' in result ? result.order.quantity : result.mistakes.map(({ field }) => field);
  };

  test.each([
    ['1', '1'],
    ['1.50', '1.5'],
    ['0.1', '0.1'],
    ['1e3', '1000'],
    ['1.5E-7', '0.00000015'],
    ['123456789012345', '123456789012345'],
    ['9007199254740992', '9007199254740992'],
    ['0.30000000000000004', '0.30000000000000004'],
    ['1e-18', '0.000000000000000001'],
    ['"9007199254740993"', '9007199254740993'],
    ['"12345678901234567890.123456789012345678"', '12345678901234567890.123456789012345678'],
  ])('keeps each digit of %s', (quantity, kept) => expect(quantityOf(text(quantity))).toBe(kept));

  test.each([
    '9007199254740993',
    '12345678901234567890',
    '0.12345678901234567',
    '1.0000000000000000001',
    '1.5e-18',
    '1e400',
    '1e-400',
    '1e999999999999',
  ])('is refused with a number that would lose digits: %s', (quantity) =>
    expect(quantityOf(text(quantity))).toEqual(['quantity']),
  );

  test('tells what is lost, and every other mistake beside it', () => {
    expect(readOrder(text('9007199254740993', ',"price":0,"x":[{"y":0.12345678901234567}]'))).toEqual({
      mistakes: [
        { field: 'quantity', message: expect.stringContaining('9007199254740993 loses digits') as string },
        { field: 'x', message: expect.stringContaining('0.12345678901234567') as string },
        { field: 'price', message: expect.any(String) as string },
      ],
    });
  });

  test.each([
    [text('1', ',"quantity":2'), ['quantity']],
    [text('1', ',"quantit\\u0079":1'), ['quantity']],
    [text('1', ',"price":{"a":1,"a":2}'), ['price']],
    [text('1', ',"side":"buy","symbol":"ETHUSDT"'), ['side', 'symbol']],
    ['[{"quantity":1}]', ['(body)']],
    ['9007199254740993', ['(body)']],
    ['', ['symbol', 'side', 'quantity']],
    ['{', ['(body)']],
  ])('%s is refused', (body, fields) => expect(quantityOf(body)).toEqual(fields));

  test('a text that looks like keys and numbers is a text', () => {
    expect(quantityOf('{"symbol":"BTCUSDT","side":"buy","type":"market","quantity":"1"}')).toBe('1');
    expect(quantityOf('{"symbol":"\\"quantity\\":9007199254740993,","side":"buy","quantity":"1"}')).toEqual(['symbol']);
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
