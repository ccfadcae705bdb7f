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

test('a failure that is told, and whose failover has ended: it is not failed over once more', () => {
  expect(explainGuard(guardWith({}), policy, true)).toEqual({
    waitsFor: 'A node that takes writes: veloz-postgres-primary has failed, and nobody is known in its place.',
    next: 'It does not fail veloz-postgres-primary over once more: another node may have been promoted. It brings back what is left over. A person can go first: veloz-ha repair --cluster veloz',
  });
  expect(explainGuard(guardWith({ backoffUntil: 0 }), policy, true).next).toContain('It tries again then.');
});
