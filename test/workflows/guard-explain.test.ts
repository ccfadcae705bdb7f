import { explainGuard } from '../../src/workflows/guard-explain';
import { guardPolicySchema } from '../../src/cluster/guard/policy';
import type { Readiness } from '../../src/cluster/readiness/findings';
import type { GuardState } from '../../src/workflows/guard-messages';
import { guardWith } from '../report/made-up-failover';

const policy = guardPolicySchema.parse({});
const explained = (more: Partial<GuardState>) => explainGuard(guardWith(more), policy, false);

test('a protected cluster: what follows from a primary that dies, or falls silent', () => {
  expect(explained({})).toEqual({
    waitsFor: 'Something to happen.',
    next: 'veloz-postgres-primary dead: failover at once. veloz-postgres-primary silent: after 600 ms, if others confirm it.',
  });
  expect(explained({ mode: 'approve' }).next).toBe(
    'veloz-postgres-primary dead or silent: it plans a failover and asks for approval.',
  );
});

test('where a failover would not work none is promised', () => {
  const readiness: Readiness = { at: 0, ready: false, findings: [] };
  expect(explained({ readiness })).toEqual({
    waitsFor: 'What is not ready (below) to be put right.',
    next: 'A failover now would fail or be long.',
  });
});
