import { lookup, type LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';

/** A name's address may change when its container is made anew. */
const KEPT_MS = 1000;

/** Looks a name up once for all connections that need it at the same time, instead of once for each. */
export function sharedLookup(ask = lookup): LookupFunction {
  const known = new Map<string, { until: number; addresses: Promise<LookupAddress[]> }>();
  const find = (host: string): Promise<LookupAddress[]> => {
    const kept = known.get(host);
    if (kept !== undefined && performance.now() < kept.until) return kept.addresses;
    const addresses = new Promise<LookupAddress[]>((resolve, reject) => {
      ask(host, { all: true }, (error, found) => {
        if (error === null) resolve(found);
        else reject(error);
      });
    });
    known.set(host, { until: performance.now() + KEPT_MS, addresses });
    // A failure is not kept.
    addresses.catch(() => known.delete(host));
    return addresses;
  };
  return (host, options, callback) => {
    find(host).then(
      (addresses) => {
        const [first] = addresses;
        if (options.all === true) callback(null, addresses);
        else callback(null, first?.address ?? '', first?.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, ''),
    );
  };
}
